import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { TProperties } from 'typebox'
import type { Owner } from '../auth/owner.ts'
import { Forbidden, NotFound } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { formatTime, formatTimeOrNever } from '../json/time.ts'
import type { Services } from '../services.ts'
import type { Publisher } from '../trusted-publishing/publishers.ts'
import { body, given, optional, text } from './schemas.ts'
import { getVisibleOrganization } from './visible-accounts.ts'

const DEFAULT_LIFETIME = 900
/** Both rights: whoever may only change the owner must not get writers of packages made (security.md S8). */
const places = [
  {
    prefix: '/orgs/:org/trusted_publishers',
    config: { access: 'owner', scope: ['organization', 'package'] },
    parameters: { org: Type.String() } as TProperties,
    find: (request: FastifyRequest) => getVisibleOrganization(request, (request.params as { org: string }).org),
  },
  {
    prefix: '/user/trusted_publishers',
    config: { access: 'signed-in', scope: ['user', 'package'] },
    parameters: {} as TProperties,
    find: async ({ doer }: FastifyRequest): Promise<Owner> => doer.user!,
  },
] as const

const Package = body({
  type: Type.String({ pattern: '^[a-z0-9-]{1,32}$' }),
  name: Type.String({ minLength: 1, maxLength: 255 }),
})
const ClaimValue = Type.Union([text(255, 1), Type.Array(text(255, 1), { minItems: 1, maxItems: 10 })])
const Name = text(100, 1)
const Issuer = Type.String({ minLength: 1, maxLength: 255 })
const ClaimRules = Type.Record(Type.String(), ClaimValue, { minProperties: 1, maxProperties: 20 })
const editable = {
  packages: optional(Type.Array(Package, { minItems: 1, maxItems: 20 })),
  lifetime: optional(Type.Integer({ minimum: 60, maximum: 3_600 })),
}
const CreatePublisher = body(
  { name: Name, issuer: Issuer, claims: ClaimRules, ...editable },
  { title: 'CreateTrustedPublisherOption' },
)
const EditPublisher = body(
  { name: optional(Name), issuer: optional(Issuer), claims: optional(ClaimRules), ...editable },
  { title: 'EditTrustedPublisherOption' },
)
const PublisherSchema = Type.Object(
  {
    id: Type.Integer(),
    name: Type.String(),
    issuer: Type.String(),
    claims: Type.Record(Type.String(), Type.Union([Type.String(), Type.Array(Type.String())])),
    packages: Type.Union([Type.Array(Type.Object({ type: Type.String(), name: Type.String() })), Type.Null()], {
      description: 'Null: all packages of the owner.',
    }),
    lifetime: Type.Integer({ description: 'Seconds that a token is valid.' }),
    created_by: Type.String({ description: 'Empty: the user is gone.' }),
    created_at: Type.String(),
    last_used_at: Type.String(),
  },
  { title: 'TrustedPublisher' },
)

/** CI jobs that may publish packages of an organization or a user without a stored secret. */
export const trustedPublishers: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app
  const { publishers } = services.trustedPublishing
  app.addHook('preValidation', requireOpen)

  for (const { prefix, config, parameters, find } of places) {
    const ofOwner = Type.Object(parameters)
    const ofPublisher = Type.Object({ ...parameters, publisher: Type.String() })
    const one = { response: { 200: PublisherSchema } }

    app.get(
      prefix,
      {
        config,
        schema: {
          summary: 'List trusted publishers',
          params: ofOwner,
          querystring: Type.Object(pagingParameters),
          response: { 200: Type.Array(PublisherSchema) },
        },
      },
      async (request, reply) => {
        const paging = readPaging(request.query)
        const { rows, total } = await publishers.list(await find(request), paging)
        setPagingHeaders(request, reply, paging, total)
        return Promise.all(rows.map((row) => toJson(services, row)))
      },
    )

    app.post(
      prefix,
      {
        config,
        schema: {
          summary: 'Trust CI jobs to publish packages',
          params: ofOwner,
          body: CreatePublisher,
          response: { 201: PublisherSchema },
        },
      },
      async (request, reply) => {
        requireLasting(request)
        const { name, issuer, claims, packages, lifetime } = request.body
        const input = { name, issuer, claims, packages: packages ?? null, lifetime: lifetime ?? DEFAULT_LIFETIME }
        const publisher = await publishers.create(await find(request), request.doer.user!, input)
        return reply.code(201).send(await toJson(services, publisher))
      },
    )

    app.get(
      `${prefix}/:publisher`,
      { config, schema: { summary: 'Get a trusted publisher', params: ofPublisher, ...one } },
      async (request) => toJson(services, await publishers.get(await find(request), publisherId(request))),
    )

    app.patch(
      `${prefix}/:publisher`,
      {
        config,
        schema: {
          summary: 'Change a trusted publisher; tokens that its jobs hold end',
          description: 'What is left out stays. `packages: null` means all packages of the owner.',
          params: ofPublisher,
          body: EditPublisher,
          ...one,
        },
      },
      async (request) => {
        requireLasting(request)
        const { name, issuer, claims, packages, lifetime } = request.body
        const changes = { name: given(name), issuer: given(issuer), claims: given(claims), lifetime: given(lifetime) }
        const owner = await find(request)
        return toJson(services, await publishers.update(owner, publisherId(request), { ...changes, packages }))
      },
    )

    app.delete(
      `${prefix}/:publisher`,
      { config, schema: { summary: 'Delete a trusted publisher; tokens that its jobs hold end', params: ofPublisher } },
      async (request, reply) => {
        await publishers.delete(await find(request), publisherId(request))
        return reply.code(204).send()
      },
    )
  }
}

async function requireOpen({ doer, server, routeOptions }: FastifyRequest): Promise<void> {
  server.services.trustedPublishing.requireOpen()
  if (doer.scopes?.publicOnly === true && routeOptions.url?.includes('/user/') === true) {
    throw new Forbidden('this token reads public accounts only', 'public-only')
  }
}

/** What a token makes here stays: it must not be a way around the token's own limits (security.md S8). */
function requireLasting({ doer, routeOptions }: FastifyRequest): void {
  if (doer.scopes?.publicOnly === true) throw new Forbidden('this token is for what is public only', 'public-only')
  if (doer.expiresAt !== null && routeOptions.url?.includes('/user/') === true) {
    throw new Forbidden('a token that expires cannot make what does not', 'token')
  }
}

function publisherId(request: FastifyRequest): number {
  const { publisher } = request.params as { publisher: string }
  if (!/^\d{1,15}$/.test(publisher)) throw new NotFound('publisher')
  return Number(publisher)
}

async function toJson({ accounts }: Services, publisher: Publisher) {
  const maker = await accounts.findById(publisher.createdBy)
  return {
    id: publisher.id,
    name: publisher.name,
    issuer: publisher.issuer,
    claims: toMutable(publisher),
    packages: publisher.packages?.map(({ type, name }) => ({ type, name })) ?? null,
    lifetime: publisher.lifetime,
    created_by: maker?.name ?? '',
    created_at: formatTime(publisher.createdAt),
    last_used_at: formatTimeOrNever(publisher.lastUsedAt),
  }
}

function toMutable({ claims }: Publisher): Record<string, string | string[]> {
  return Object.fromEntries(
    Object.entries(claims).map(([claim, value]) => [claim, typeof value === 'string' ? value : [...value]]),
  )
}
