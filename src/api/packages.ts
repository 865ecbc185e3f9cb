import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { NotFound, Unauthenticated } from '../errors.ts'
import { setVisibility } from '../http/package-visibility.ts'
import { type Paging, pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { findRepository } from '../http/repository-access.ts'
import { PackageFileSchema, PackageSchema, toPackageFileJson, toPackageJson } from '../json/packages.ts'
import { toRepositoryJson } from '../json/repositories.ts'
import type { PackageDescriptor, PackageRow, VersionRow } from '../packages/package-info.ts'
import type { SearchQuery } from '../packages/package-search.ts'
import { isRepositoryVisible } from '../packages/repository.ts'
import { body, SearchText } from './schemas.ts'

const OwnerParameters = Type.Object({ owner: Type.String() })
const PackageParameters = Type.Object({ owner: Type.String(), type: Type.String(), name: Type.String() })
const VersionParameters = Type.Object({
  owner: Type.String(),
  type: Type.String(),
  name: Type.String(),
  version: Type.String(),
})
const Origin = Type.Enum(['hosted', 'cached'])
const read = { config: { access: 'read' } } as const
const write = { config: { access: 'write' } } as const
const remove = { config: { access: 'remove' } } as const
/** Of access modes, see gitea-model.md §10. */
const ADMIN = 3

/** What owners have (rest-api.md §3). Nobody anonymous gets in, not even to public owners. */
export const packages: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app
  const { removal } = services.packages

  app.addHook('onRequest', async (request) => {
    if (request.doer.user === null) throw new Unauthenticated('token is required', 'access')
    const params = request.params as { owner: string; type?: string; name?: string }
    const owner = await services.accounts.find(params.owner)
    if (owner === null) throw new NotFound('owner', params.owner)
    request.target = { owner, type: params.type ?? '', name: params.name ?? null }
  })

  app.get(
    '/packages/:owner',
    {
      config: { access: 'read', showsAllowedOnly: true },
      schema: {
        summary: "List the versions of an owner's packages",
        params: OwnerParameters,
        querystring: Type.Object({
          ...pagingParameters,
          type: Type.Optional(SearchText),
          q: Type.Optional(SearchText),
          origin: Type.Optional(Origin),
        }),
        response: { 200: Type.Array(PackageSchema) },
      },
    },
    async (request, reply) => {
      const { type = '', q = '', origin } = request.query
      const { owner } = request.target!
      const paging = readPaging(request.query)
      if (origin !== undefined && origin !== (owner.kind === 'mirror' ? 'cached' : 'hosted')) {
        setPagingHeaders(request, reply, paging, 0)
        return []
      }
      const rules = request.doer.restriction?.of(owner.lowerName) ?? null
      const showsPrivate = await services.permissions.readsPrivate(request.doer, owner)
      const query = { ownerId: owner.id, type: type === 'all' ? '' : type, q, rules, showsPrivate }
      return sendVersions(request, reply, paging, query)
    },
  )

  app.get(
    '/packages/:owner/:type/:name',
    {
      ...read,
      schema: {
        summary: 'List the versions of a package',
        params: PackageParameters,
        querystring: Type.Object(pagingParameters),
        response: { 200: Type.Array(PackageSchema) },
      },
    },
    async (request, reply) => {
      const { id } = await getPackage(request)
      const paging = readPaging(request.query)
      const query = { ownerId: request.target!.owner.id, packageId: id, showsPrivate: true }
      return sendVersions(request, reply, paging, query)
    },
  )

  app.delete(
    '/packages/:owner/:type/:name',
    { ...remove, schema: { summary: 'Delete a package with all versions', params: PackageParameters } },
    async (request, reply) => {
      const { owner } = request.target!
      const row = await getPackage(request)
      const upstream = owner.kind === 'mirror' ? services.upstream.forOwner(owner.id, row.type) : null
      if (upstream === null) await removal.removePackage({ owner, package: row }, request.doer.user)
      else await services.upstream.purge(upstream.settings.name, row.name)
      return reply.code(204).send()
    },
  )

  app.patch(
    '/packages/:owner/:type/:name',
    {
      ...write,
      schema: {
        summary: 'Make a package private, or as visible as its owner',
        params: PackageParameters,
        body: body({ visibility: Type.Enum(['private', 'inherited']) }, { title: 'EditPackageOption' }),
      },
    },
    async (request, reply) => {
      await setVisibility(request, request.params.name, request.body.visibility === 'private')
      return reply.code(204).send()
    },
  )

  app.get(
    '/packages/:owner/:type/:name/-/latest',
    {
      ...read,
      schema: {
        summary: 'Get the latest version of a package',
        params: PackageParameters,
        response: { 200: PackageSchema },
      },
    },
    async (request) => {
      const { owner, type, name } = request.target!
      const latest = await services.packages.lookup.latest(owner.id, type, name!)
      return toJson(request, await describe(request, latest))
    },
  )

  app.post(
    '/packages/:owner/:type/:name/-/link/:repository',
    {
      config: { ...write.config, answers: [201] },
      schema: {
        summary: 'Link a package to a repository',
        params: Type.Object({ ...PackageParameters.properties, repository: Type.String() }),
      },
    },
    async (request, reply) => {
      const row = await getPackage(request)
      const { owner, repository } = request.params
      const target = await findRepository(services, request.doer, { owner, repository })
      await services.packages.repositories.link(row, target.row)
      return reply.code(201).send()
    },
  )

  app.post(
    '/packages/:owner/:type/:name/-/unlink',
    { ...write, schema: { summary: 'Unlink a package from its repository', params: PackageParameters } },
    async (request, reply) => {
      const row = await getPackage(request)
      const mode = await services.permissions.accessMode(request.doer, request.target!.owner)
      await services.packages.repositories.unlink(row, mode >= ADMIN)
      return reply.code(204).send()
    },
  )

  app.get(
    '/packages/:owner/:type/:name/:version',
    {
      ...read,
      schema: { summary: 'Get a version of a package', params: VersionParameters, response: { 200: PackageSchema } },
    },
    async (request) => toJson(request, await getVersion(request, request.params.version)),
  )

  app.delete(
    '/packages/:owner/:type/:name/:version',
    { ...remove, schema: { summary: 'Delete a version of a package', params: VersionParameters } },
    async (request, reply) => {
      await removal.removePackageVersion(await getVersion(request, request.params.version), request.doer.user)
      return reply.code(204).send()
    },
  )

  app.get(
    '/packages/:owner/:type/:name/:version/files',
    {
      ...read,
      schema: {
        summary: 'List the files of a version',
        params: VersionParameters,
        response: { 200: Type.Array(PackageFileSchema) },
      },
    },
    async (request) => (await getVersion(request, request.params.version)).files.map(toPackageFileJson),
  )
}

async function sendVersions(
  request: FastifyRequest,
  reply: FastifyReply,
  paging: Paging,
  query: Omit<SearchQuery, 'page' | 'limit'>,
) {
  const { lookup } = request.server.services.packages
  const { total, versionIds } = await lookup.search({ ...query, page: paging.page, limit: paging.limit })
  setPagingHeaders(request, reply, paging, total)
  const descriptors = await lookup.describe(versionIds)
  return Promise.all(descriptors.map((descriptor) => toJson(request, descriptor)))
}

async function toJson({ server: { services }, doer }: FastifyRequest, descriptor: PackageDescriptor) {
  const { owner, repository: row } = descriptor
  if (row === null) return toPackageJson(services, descriptor, doer)
  const mode = await services.permissions.accessMode(doer, owner)
  if (!isRepositoryVisible(row, doer, mode)) return toPackageJson(services, descriptor, doer)
  const repository = toRepositoryJson(services.config.baseUrl, { owner, row }, doer, mode)
  return toPackageJson(services, descriptor, doer, repository)
}

async function getPackage({ server, target }: FastifyRequest): Promise<PackageRow> {
  const { owner, type, name } = target!
  const row = await server.services.packages.lookup.findPackage(owner.id, type, name!)
  if (row === null) throw new NotFound('package', name!)
  return row
}

async function getVersion(request: FastifyRequest, version: string): Promise<PackageDescriptor> {
  const { owner, type, name } = request.target!
  return describe(request, await request.server.services.packages.lookup.findVersion(owner.id, type, name!, version))
}

async function describe({ server, target }: FastifyRequest, row: VersionRow | null): Promise<PackageDescriptor> {
  const [descriptor] = row === null ? [] : await server.services.packages.lookup.describe([row.id])
  if (descriptor === undefined) throw new NotFound('package', target!.name!)
  return descriptor
}
