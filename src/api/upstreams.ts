import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { MethodNotAllowed } from '../errors.ts'
import { body, optional, text } from './schemas.ts'

const UpstreamSchema = Type.Object(
  {
    name: Type.String(),
    type: Type.String(),
    owner: Type.String(),
    url: Type.String(),
    mode: Type.Enum(['online', 'offline', 'blocked']),
    origins: Type.Array(Type.Object({ origin: Type.String(), state: Type.String() })),
  },
  { title: 'Upstream' },
)
const UpstreamParameters = Type.Object({ upstream: Type.String() })
const PackageBody = optional(body({ name: optional(text(512, 1)) }))
const forAdmins = { config: { access: 'admin', scope: 'admin' } } as const

/** Upstreams at work: administrators look, switch, invalidate and purge; what they are their files say. */
export const upstreams: FastifyPluginAsyncTypebox = async (app) => {
  const { upstream } = app.services

  app.get(
    '/admin/upstreams',
    { ...forAdmins, schema: { summary: 'List upstreams', response: { 200: Type.Array(UpstreamSchema) } } },
    async () => upstream.list(),
  )

  app.get(
    '/admin/upstreams/:upstream',
    {
      ...forAdmins,
      schema: { summary: 'Get an upstream', params: UpstreamParameters, response: { 200: UpstreamSchema } },
    },
    async (request) => upstream.get(request.params.upstream),
  )

  app.post(
    '/admin/upstreams/:upstream/mode',
    {
      ...forAdmins,
      schema: {
        summary: 'Switch an upstream on, off or shut',
        params: UpstreamParameters,
        body: body({ mode: Type.Enum(['online', 'offline', 'blocked']) }),
        response: { 200: UpstreamSchema },
      },
    },
    async (request) => {
      await upstream.setMode(request.params.upstream, request.body.mode)
      return upstream.get(request.params.upstream)
    },
  )

  app.post(
    '/admin/upstreams/:upstream/invalidate',
    {
      ...forAdmins,
      schema: { summary: 'Have cached metadata asked for again', params: UpstreamParameters, body: PackageBody },
    },
    async (request, reply) => {
      await upstream.invalidate(request.params.upstream, request.body?.name ?? undefined)
      return reply.code(204).send()
    },
  )

  app.post(
    '/admin/upstreams/:upstream/purge',
    { ...forAdmins, schema: { summary: 'Delete what is cached', params: UpstreamParameters, body: PackageBody } },
    async (request, reply) => {
      await upstream.purge(request.params.upstream, request.body?.name ?? undefined)
      return reply.code(204).send()
    },
  )

  for (const [method, url] of [
    ['POST', '/admin/upstreams'],
    ['PUT', '/admin/upstreams/:upstream'],
    ['PATCH', '/admin/upstreams/:upstream'],
    ['DELETE', '/admin/upstreams/:upstream'],
  ] as const) {
    app.route({
      config: { ...forAdmins.config, answers: [405] },
      schema: { summary: 'Refused: upstreams are declared in their YAML files' },
      method,
      url,
      handler: async (_request, reply) => {
        reply.header('allow', 'GET, HEAD')
        throw new MethodNotAllowed('upstreams are declared in their YAML files and change with these at the next start')
      },
    })
  }
}
