import type { FastifyRequest } from 'fastify'
import { type TProperties, Type } from 'typebox'
import type { Owner } from '../auth/owner.ts'
import { Forbidden, NotFound } from '../errors.ts'
import type { HookPlace } from '../webhooks/hook.ts'
import { getVisibleOrganization } from './visible-accounts.ts'

/** Where an owner's hooks are, who may see and change them, and whose they are. */
export const hookPlaces = [
  {
    prefix: '/orgs/:org/hooks',
    access: 'owner',
    scope: 'organization',
    parameters: { org: Type.String() } as TProperties,
    isSite: false,
    find: async (request: FastifyRequest): Promise<FoundPlace> => {
      const owner = await getVisibleOrganization(request, (request.params as { org: string }).org)
      return { owner, place: { ownerId: owner.id, kinds: ['organization'] } }
    },
  },
  {
    prefix: '/user/hooks',
    access: 'signed-in',
    scope: 'user',
    parameters: {} as TProperties,
    isSite: false,
    find: async ({ doer }: FastifyRequest): Promise<FoundPlace> => {
      const owner = doer.user!
      return { owner, place: { ownerId: owner.id, kinds: ['user'] } }
    },
  },
  {
    prefix: '/admin/hooks',
    access: 'admin',
    scope: 'admin',
    parameters: {} as TProperties,
    isSite: true,
    // The site owns no packages: tests say that the administrator's came.
    find: async ({ doer }: FastifyRequest): Promise<FoundPlace> => ({
      owner: doer.user!,
      place: { ownerId: 0, kinds: ['system', 'default'] },
    }),
  },
] as const

/** Whose hooks a request is about, and the owner of packages that tests speak of. */
export interface FoundPlace {
  readonly place: HookPlace
  readonly owner: Owner
}

/** Forbidden where there are no hooks: site administrators go on seeing theirs (rest-api.md §1, §8). */
export async function requireOpenHooks({ doer, server, routeOptions }: FastifyRequest): Promise<void> {
  const url = routeOptions.url ?? ''
  if (url.includes('/admin/hooks')) return
  if (!server.services.config.webhooks.enabled) throw new Forbidden('webhooks are disabled here', 'hook')
  if (doer.scopes?.publicOnly === true && url.includes('/user/hooks')) {
    throw new Forbidden('this token reads public accounts only', 'public-only')
  }
}

/** The hook that the path names; NotFound for what cannot be an id. */
export function hookId(request: FastifyRequest): number {
  const { hook } = request.params as { hook: string }
  if (!/^\d{1,15}$/.test(hook)) throw new NotFound('hook')
  return Number(hook)
}
