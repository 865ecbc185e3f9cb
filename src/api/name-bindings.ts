import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { Owner } from '../auth/owner.ts'
import { NotFound, Unprocessable } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { formatTime } from '../json/time.ts'
import type { NameBinding } from '../models/name-binding.ts'
import type { Services } from '../services.ts'
import type { Binding, BoundName } from '../upstream/name-bindings.ts'
import { checkPatterns } from './name-patterns.ts'
import { body, given, optional, SearchText, text } from './schemas.ts'
import { getVisibleOrganization } from './visible-accounts.ts'

const HOSTED = 'hosted'
/** Characters of a name's column. */
const MAX_NAME = 255

const TypeName = Type.String({ pattern: '^[a-z0-9-]{1,32}$' })
const OfOrganization = Type.Object({ org: Type.String() })
const OfName = Type.Object({
  org: Type.String(),
  type: TypeName,
  name: Type.String({ pattern: '^[^\\s\\u0000-\\u001f\\u007f]+$' }),
})
const BindingBody = body({ source: text(255, 1), merge: optional(Type.Boolean()) }, { title: 'NameBindingOption' })
const BindingSchema = Type.Object(
  {
    type: Type.String(),
    name: Type.String(),
    source: Type.String(),
    merge: Type.Boolean(),
    author: Type.String(),
    created_at: Type.String(),
  },
  { title: 'NameBinding' },
)
const forOwners = { config: { access: 'owner', scope: 'organization' } } as const

/**
 * Where an organization's names come from: bound at their first use, or here (pull-through.md §7). `source` is `hosted`
 * or an upstream; it alone may publish the name. With `merge` the versions of all sources are one package.
 */
export const nameBindings: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app
  const { bindings } = services.upstream

  app.get(
    '/orgs/:org/bindings',
    {
      ...forOwners,
      schema: {
        summary: 'List the names of an organization that are bound to a source',
        params: OfOrganization,
        querystring: Type.Object({
          ...pagingParameters,
          type: Type.Optional(TypeName),
          source: Type.Optional(text(255, 1)),
          merge: Type.Optional(Type.Boolean()),
          q: Type.Optional(SearchText),
        }),
        response: { 200: Type.Array(BindingSchema) },
      },
    },
    async (request, reply) => {
      const { type, source, merge, q } = request.query
      const { id: ownerId } = await getVisibleOrganization(request, request.params.org)
      const paging = readPaging(request.query)
      const upstreamId = source === undefined ? undefined : findSource(services, source)
      const { rows, total } = await bindings.list({ ownerId, type, upstreamId, merge, part: q?.toLowerCase() }, paging)
      setPagingHeaders(request, reply, paging, total)
      return rows.map((row) => toJson(services, row))
    },
  )

  app.get(
    '/orgs/:org/bindings/:type/:name',
    {
      ...forOwners,
      schema: { summary: 'Get the binding of a name', params: OfName, response: { 200: BindingSchema } },
    },
    async (request) => get(services, await nameOf(request)),
  )

  app.put(
    '/orgs/:org/bindings/:type/:name',
    {
      ...forOwners,
      schema: {
        summary: 'Bind a name to a source, or merge its sources',
        params: OfName,
        body: BindingBody,
        response: { 200: BindingSchema },
      },
    },
    async (request) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      const name = await nameOf(request)
      const { source, merge } = request.body
      const binding = { upstreamId: findSource(services, source), merge: given(merge) ?? false }
      await check(request, organization, binding)
      await bindings.set(name, binding, request.doer.user!.name)
      return get(services, name)
    },
  )

  app.delete(
    '/orgs/:org/bindings/:type/:name',
    { ...forOwners, schema: { summary: 'Clear the binding of a name without hosted packages', params: OfName } },
    async (request, reply) => {
      const name = await nameOf(request)
      if (!(await bindings.clear(name))) throw new NotFound('name', name.lowerName)
      return reply.code(204).send()
    },
  )
}

/** Throws NotFound for an organization that the caller may not know of, Unprocessable for a name that no row can have. */
async function nameOf(request: FastifyRequest): Promise<BoundName> {
  const { org, type, name } = request.params as { org: string; type: string; name: string }
  const { id: ownerId } = await getVisibleOrganization(request, org)
  const lowerName = name.toLowerCase()
  if ([...lowerName].length > MAX_NAME) throw new Unprocessable(`[Name]: must have at most ${MAX_NAME} characters`)
  return { ownerId, type, lowerName }
}

/** The number of an upstream; 0: hosted. */
function findSource({ upstream }: Services, source: string): number {
  if (source === HOSTED) return 0
  const found = upstream.find(source)
  if (found === null) throw new Unprocessable(`[Source]: ${source} is not known`)
  return found.id
}

/** Throws Unprocessable for what would not do what it says: the name is reserved, or the upstream is not asked for it. */
async function check(request: FastifyRequest, organization: Owner, { upstreamId, merge }: Binding): Promise<void> {
  const { services } = request.server
  const { type, name } = request.params as { type: string; name: string }
  checkPatterns(services, type, [], 'Type')
  if (upstreamId === 0 && !merge) return
  const { reason, candidates } = await services.upstream.survey(request.doer, organization, type, name)
  if (reason === 'reserved') throw new Unprocessable(`[Name]: ${name} is reserved, and only ever hosted`)
  const asked = candidates.filter(({ isIncluded }) => isIncluded).map(({ upstream }) => upstream)
  if (upstreamId !== 0 && !asked.some(({ id }) => id === upstreamId)) {
    throw new Unprocessable(`[Source]: it is not attached to ${organization.name} for ${name}`)
  }
  if (merge && asked.length === 0) throw new Unprocessable(`[Merge]: no upstream is attached for ${name}`)
  if (merge && !asked.every(({ adapter }) => adapter.isMergeable === true)) {
    throw new Unprocessable(`[Merge]: packages of type ${type} are not merged`)
  }
}

async function get(services: Services, name: BoundName) {
  const row = await services.upstream.bindings.read(name)
  if (row === null) throw new NotFound('name', name.lowerName)
  return toJson(services, row)
}

function toJson({ upstream }: Services, row: NameBinding): Type.Static<typeof BindingSchema> {
  const { type, lowerName, upstreamId, merge, author, createdAt } = row
  return {
    ...{ type, name: lowerName, merge, author, created_at: formatTime(createdAt) },
    // Of an upstream that is declared no more nothing but its number is left.
    source: upstreamId === 0 ? HOSTED : (upstream.findById(upstreamId)?.settings.name ?? String(upstreamId)),
  }
}
