import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { Unprocessable } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { type Hook, type HookKind, type HookPlace, readEvents } from '../webhooks/hook.ts'
import type { Hooks } from '../webhooks/hooks.ts'
import { MASK } from '../webhooks/request.ts'
import { HookSchema, toHookJson } from './hook-json.ts'
import { hookId, hookPlaces, requireOpenHooks } from './hook-places.ts'
import { body, given, optional, text } from './schemas.ts'

const editable = {
  name: optional(text(255)),
  events: optional(Type.Array(text(64), { maxItems: 100 })),
  branch_filter: optional(text(255)),
  authorization_header: optional(Type.String({ maxLength: 2_048, pattern: '^[\\u0009\\u0020-\\u007e]*$' })),
  active: optional(Type.Boolean()),
}
const settings = { url: optional(text(2_048)), content_type: optional(text(64)), secret: optional(text(1_024)) }
/** Only the site's hooks can be for everything. */
const siteSettings = { ...settings, is_system_webhook: optional(text(8)) }
const CreateHook = body({ type: text(64, 1), config: body(settings), ...editable }, { title: 'CreateHookOption' })
const CreateSiteHook = body(
  { type: text(64, 1), config: body(siteSettings), ...editable },
  { title: 'CreateSiteHookOption' },
)
const EditHook = body({ config: optional(body(settings)), ...editable }, { title: 'EditHookOption' })
const Kind = Type.Enum(['system', 'default', 'all'])

/** Hooks of organizations, users and the site, with Gitea's rules for what is left out (rest-api.md §8). */
export const hooks: FastifyPluginAsyncTypebox = async (app) => {
  const { hooks: stored } = app.services.webhooks
  app.addHook('preValidation', requireOpenHooks)

  for (const { prefix, access, scope, parameters, isSite, find } of hookPlaces) {
    const config = { access, scope }
    const ofOwner = Type.Object(parameters)
    const ofHook = Type.Object({ ...parameters, hook: Type.String() })
    const one = { response: { 200: HookSchema } }

    app.get(
      prefix,
      {
        config,
        schema: {
          summary: 'List webhooks',
          params: ofOwner,
          querystring: Type.Object({ ...pagingParameters, ...(isSite ? { type: Type.Optional(Kind) } : {}) }),
          response: { 200: Type.Array(HookSchema) },
        },
      },
      async (request, reply) => {
        const { place } = await find(request)
        if (isSite) return (await stored.list({ ...place, kinds: kindsOf(request.query) })).hooks.map(toHookJson)
        const paging = readPaging(request.query)
        const { total, hooks: page } = await stored.list(place, { offset: paging.offset, limit: paging.limit })
        setPagingHeaders(request, reply, paging, total)
        return page.map(toHookJson)
      },
    )

    app.post(
      prefix,
      {
        config,
        schema: {
          summary: 'Make a webhook',
          params: ofOwner,
          body: isSite ? CreateSiteHook : CreateHook,
          response: { 201: HookSchema },
        },
      },
      async (request, reply) => {
        const { type, config: asked, ...rest } = request.body as Type.Static<typeof CreateSiteHook>
        if (type !== 'gitea') throw new Unprocessable(`Invalid hook type: ${type}`, 'hook')
        const { place } = await find(request)
        const hook = await stored.create(place, {
          kind: kindOf(place, asked.is_system_webhook ?? ''),
          url: required(asked.url, 'url'),
          contentType: readContentType(required(asked.content_type, 'content_type')),
          secret: asked.secret ?? '',
          name: rest.name ?? '',
          events: readEvents(given(rest.events)),
          branchFilter: rest.branch_filter ?? '',
          authorization: rest.authorization_header ?? '',
          isActive: rest.active ?? false,
        })
        return reply.code(201).send(toHookJson(hook))
      },
    )

    app.get(
      `${prefix}/:hook`,
      { config, schema: { summary: 'Get a webhook', params: ofHook, ...one } },
      async (request) => toHookJson(await stored.get((await find(request)).place, hookId(request))),
    )

    app.patch(
      `${prefix}/:hook`,
      { config, schema: { summary: 'Change a webhook', params: ofHook, body: EditHook, ...one } },
      async (request) => toHookJson(await change(stored, (await find(request)).place, hookId(request), request.body)),
    )

    app.delete(
      `${prefix}/:hook`,
      { config, schema: { summary: 'Delete a webhook', params: ofHook } },
      async (request, reply) => {
        await stored.delete((await find(request)).place, hookId(request))
        return reply.code(204).send()
      },
    )
  }
}

/** What is left out stays, but for the events, which are `push` then, and the authorization, which goes. */
async function change(stored: Hooks, place: HookPlace, id: number, input: Type.Static<typeof EditHook>): Promise<Hook> {
  const { url, content_type: contentType, secret } = input.config ?? {}
  // Who sends it along unchanged is not to be told off.
  if (typeof secret === 'string' && !(await stored.hasSecret(place, id, secret))) {
    throw new Unprocessable('the secret of a hook cannot be changed; make another hook', 'hook')
  }
  const authorization = input.authorization_header ?? ''
  return stored.update(place, id, {
    url: given(url),
    contentType: typeof contentType === 'string' ? readContentType(contentType) : undefined,
    name: given(input.name),
    events: readEvents(given(input.events)),
    branchFilter: given(input.branch_filter),
    // What was read can be written back.
    authorization: authorization === MASK ? undefined : authorization,
    isActive: given(input.active),
  })
}

function kindOf({ kinds }: HookPlace, isSystem: string): HookKind {
  if (!kinds.includes('system')) return kinds[0]!
  return isSystem === 'true' ? 'system' : 'default'
}

function kindsOf(query: { type?: unknown }): HookKind[] {
  const type = (query.type ?? 'system') as Type.Static<typeof Kind>
  return type === 'all' ? ['system', 'default'] : [type]
}

function required(value: string | null | undefined, name: string): string {
  if (typeof value !== 'string') throw new Unprocessable(`Missing config option: ${name}`, 'hook')
  return value
}

function readContentType(value: string): 'json' | 'form' {
  if (value !== 'json' && value !== 'form') throw new Unprocessable('Invalid content type', 'hook')
  return value
}
