import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { NotFound } from '../errors.ts'
import { formatTime } from '../json/time.ts'
import type { Services } from '../services.ts'
import type { Upstream } from '../upstream/upstreams.ts'
import { body, optional, text } from './schemas.ts'

const CacheSchema = Type.Object(
  {
    bytes: Type.Integer(),
    exclusive_bytes: Type.Integer(),
    cap_bytes: Type.Union([Type.Integer(), Type.Null()]),
    unused_days: Type.Integer(),
    files: Type.Integer(),
    versions: Type.Integer(),
    documents: Type.Integer(),
  },
  { title: 'UpstreamCache' },
)
const PinSchema = Type.Object(
  { name: Type.String(), version: Type.String(), author: Type.String(), created_at: Type.String() },
  { title: 'UpstreamPin' },
)
const ANY = '*'
const UpstreamParameters = Type.Object({ upstream: Type.String() })
const Name = () => text(255, 1)
const forAdmins = { config: { access: 'admin', scope: 'admin' } } as const

/** What the caches of mirrors hold, and what of it stays (pull-through.md §9). */
export const upstreamCaches: FastifyPluginAsyncTypebox = async (app) => {
  const { eviction } = app.services

  app.get(
    '/admin/upstreams/:upstream/stats',
    {
      ...forAdmins,
      schema: { summary: 'What is cached of an upstream', params: UpstreamParameters, response: { 200: CacheSchema } },
    },
    async (request) => {
      const upstream = getUpstream(app.services, request.params.upstream)
      const { exclusiveBytes, ...usage } = await eviction.accounting.of(upstream)
      const { capBytes, unusedDays } = upstream.settings
      return { ...usage, exclusive_bytes: exclusiveBytes, cap_bytes: capBytes, unused_days: unusedDays }
    },
  )

  app.get(
    '/admin/upstreams/:upstream/pins',
    {
      ...forAdmins,
      schema: {
        summary: 'List what of an upstream is never evicted',
        params: UpstreamParameters,
        response: { 200: Type.Array(PinSchema) },
      },
    },
    async (request) => {
      const pins = await eviction.pins.list(getUpstream(app.services, request.params.upstream))
      return pins.map(({ createdAt, ...pin }) => ({ ...pin, created_at: formatTime(createdAt) }))
    },
  )

  app.put(
    '/admin/upstreams/:upstream/pins',
    {
      ...forAdmins,
      schema: {
        summary: 'Never evict what fits',
        params: UpstreamParameters,
        body: body({ name: Name(), version: optional(Name()) }),
      },
    },
    async (request, reply) => {
      const { name, version } = request.body
      const upstream = getUpstream(app.services, request.params.upstream)
      await eviction.pins.put(upstream, { name, version: version ?? ANY }, request.doer.user!.name)
      return reply.code(204).send()
    },
  )

  app.delete(
    '/admin/upstreams/:upstream/pins',
    {
      ...forAdmins,
      schema: {
        summary: 'Let be evicted again',
        params: UpstreamParameters,
        querystring: Type.Object({ name: Name(), version: Type.Optional(Name()) }),
      },
    },
    async (request, reply) => {
      const { name, version = ANY } = request.query
      await eviction.pins.delete(getUpstream(app.services, request.params.upstream), { name, version })
      return reply.code(204).send()
    },
  )
}

/** Throws NotFound. */
function getUpstream({ upstream }: Services, name: string): Upstream {
  const found = upstream.find(name)
  if (found === null) throw new NotFound('upstream', name)
  return found
}
