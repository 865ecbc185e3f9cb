import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import {
  CreateUpstreamBody,
  EditUpstreamBody,
  HealthSchema,
  ModeBody,
  PackageBody,
  renderHealth,
  TrialSchema,
  TryBody,
  TryUpstreamBody,
  UpstreamSchema,
} from './upstream-json.ts'

const UpstreamParameters = Type.Object({ upstream: Type.String() })
const forAdmins = { config: { access: 'admin', scope: 'admin' } } as const

/**
 * Upstreams: administrators make, try, change and delete those that no file declares, and look at, switch, invalidate
 * and purge all of them (pull-through.md §12).
 */
export const upstreams: FastifyPluginAsyncTypebox = async (app) => {
  const { upstream } = app.services

  app.get(
    '/admin/upstreams',
    { ...forAdmins, schema: { summary: 'List upstreams', response: { 200: Type.Array(UpstreamSchema) } } },
    async () => upstream.list(),
  )

  app.post(
    '/admin/upstreams',
    {
      ...forAdmins,
      schema: { summary: 'Create an upstream', body: CreateUpstreamBody, response: { 201: UpstreamSchema } },
    },
    async (request, reply) => {
      const { name, confirm_exposes_credentials: isConfirmed, ...input } = request.body
      return reply.code(201).send(await upstream.create(name, input, isConfirmed === true))
    },
  )

  app.post(
    '/admin/upstreams/test',
    {
      ...forAdmins,
      schema: {
        summary: 'Try an upstream before it is created',
        body: TryUpstreamBody,
        response: { 200: TrialSchema },
      },
    },
    async (request) => {
      const { package: packageName, ...input } = request.body
      return upstream.tryInput(input, packageName ?? undefined)
    },
  )

  app.get(
    '/admin/upstreams/:upstream',
    {
      ...forAdmins,
      schema: { summary: 'Get an upstream', params: UpstreamParameters, response: { 200: UpstreamSchema } },
    },
    async (request) => upstream.get(request.params.upstream),
  )

  app.get(
    '/admin/upstreams/:upstream/health',
    {
      ...forAdmins,
      schema: { summary: 'Get how an upstream is doing', params: UpstreamParameters, response: { 200: HealthSchema } },
    },
    async (request) => renderHealth(upstream.health(request.params.upstream)),
  )

  app.patch(
    '/admin/upstreams/:upstream',
    {
      ...forAdmins,
      schema: {
        summary: 'Edit an upstream that was created over REST',
        params: UpstreamParameters,
        body: EditUpstreamBody,
        response: { 200: UpstreamSchema },
      },
    },
    async (request) => {
      const { confirm_exposes_credentials: isConfirmed, ...changes } = request.body
      return upstream.update(request.params.upstream, changes, isConfirmed === true)
    },
  )

  app.delete(
    '/admin/upstreams/:upstream',
    {
      ...forAdmins,
      schema: { summary: 'Delete an upstream that was created over REST', params: UpstreamParameters },
    },
    async (request, reply) => {
      await upstream.remove(request.params.upstream)
      return reply.code(204).send()
    },
  )

  app.post(
    '/admin/upstreams/:upstream/test',
    {
      ...forAdmins,
      schema: {
        summary: 'Try an upstream: connect, sign in, fetch a document',
        params: UpstreamParameters,
        body: TryBody,
        response: { 200: TrialSchema },
      },
    },
    async (request) => upstream.try(request.params.upstream, request.body?.package ?? undefined),
  )

  app.post(
    '/admin/upstreams/:upstream/mode',
    {
      ...forAdmins,
      schema: {
        summary: 'Switch an upstream on, off or shut',
        params: UpstreamParameters,
        body: ModeBody,
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
}
