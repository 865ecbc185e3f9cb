import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { checkWebsite } from '../auth/account-rules.ts'
import type { Owner } from '../auth/owner.ts'
import { Forbidden } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { findRepository, type RepositoryTarget } from '../http/repository-access.ts'
import { RepositorySchema, toRepositoryJson } from '../json/repositories.ts'
import type { RepositoryChanges } from '../packages/repositories.ts'
import { isRepositoryVisible } from '../packages/repository.ts'
import { CreateRepository, EditRepository } from './repository-options.ts'
import { given } from './schemas.ts'
import { getVisibleAccount, getVisibleOrganization } from './visible-accounts.ts'

const OrgParameters = Type.Object({ org: Type.String() })
const UserParameters = Type.Object({ username: Type.String() })
const RepositoryParameters = Type.Object({ owner: Type.String(), repository: Type.String() })
const List = { querystring: Type.Object(pagingParameters), response: { 200: Type.Array(RepositorySchema) } }
const Creation = { body: CreateRepository, response: { 201: RepositorySchema } }
const administered = { config: { access: 'repository-admin', scope: 'repository' } } as const

/** Repositories: where the sources of packages are, to link packages to (rest-api.md §3). Nothing is kept in them. */
export const repositories: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app
  const { members, permissions, packages } = services

  app.get(
    '/user/repos',
    {
      config: { access: 'signed-in', scope: ['user', 'repository'] },
      schema: { summary: 'List the repositories of the signed-in user', ...List },
    },
    async (request, reply) => sendList(request, reply, await getVisibleAccount(request, request.doer.user!.name)),
  )

  app.get(
    '/users/:username/repos',
    {
      config: { access: 'public', scope: ['user', 'repository'] },
      schema: { summary: 'List the repositories of a user', params: UserParameters, ...List },
    },
    async (request, reply) => sendList(request, reply, await getVisibleAccount(request, request.params.username)),
  )

  app.get(
    '/orgs/:org/repos',
    {
      config: { access: 'public', scope: 'organization' },
      schema: { summary: 'List the repositories of an organization', params: OrgParameters, ...List },
    },
    async (request, reply) => sendList(request, reply, await getVisibleOrganization(request, request.params.org)),
  )

  app.post(
    '/user/repos',
    {
      config: { access: 'signed-in', scope: ['user', 'repository'] },
      schema: { summary: 'Make a repository', ...Creation },
    },
    async (request, reply) => {
      const owner = await getVisibleAccount(request, request.doer.user!.name)
      return reply.code(201).send(await create(request, owner, request.body))
    },
  )

  // The second is the older path, which Gitea's SDK for Go goes on using.
  for (const [url, scope] of [
    ['/orgs/:org/repos', 'organization'],
    ['/org/:org/repos', ['organization', 'repository']],
  ] as const) {
    app.post(
      url,
      {
        config: { access: 'member', scope },
        schema: { summary: 'Make a repository of an organization', params: OrgParameters, ...Creation },
      },
      async (request, reply) => {
        const org = await getVisibleOrganization(request, request.params.org)
        const { doer } = request
        const mayCreate =
          (await permissions.isOrgOwner(doer, org)) || (await members.canCreateRepository(org, doer.user!))
        if (!mayCreate) throw new Forbidden('you may not create repositories in this organization', 'user')
        return reply.code(201).send(await create(request, org, request.body))
      },
    )
  }

  app.get(
    '/repos/:owner/:repository',
    {
      config: { access: 'public', scope: 'repository' },
      schema: { summary: 'Get a repository', params: RepositoryParameters, response: { 200: RepositorySchema } },
    },
    async (request) => toJson(request, await findRepository(services, request.doer, request.params)),
  )

  app.patch(
    '/repos/:owner/:repository',
    {
      ...administered,
      schema: {
        summary: 'Change a repository',
        params: RepositoryParameters,
        body: EditRepository,
        response: { 200: RepositorySchema },
      },
    },
    async (request) => {
      const target = request.repository!
      const { name, ...changes } = { ...toChanges(request.body), name: given(request.body.name) }
      requireSeeable(request, changes)
      const row = await packages.repositories.update(target.row, { ...changes, name })
      return toJson(request, { ...target, row })
    },
  )

  app.delete(
    '/repos/:owner/:repository',
    { ...administered, schema: { summary: 'Delete a repository', params: RepositoryParameters } },
    async (request, reply) => {
      await packages.repositories.remove(request.repository!.row)
      return reply.code(204).send()
    },
  )
}

async function create(request: FastifyRequest, owner: Owner, input: Type.Static<typeof CreateRepository>) {
  const { packages, permissions } = request.server.services
  const changes = toChanges(input)
  requireSeeable(request, changes)
  const row = await packages.repositories.create(owner, { ...changes, name: input.name })
  return toJson(request, { owner, row, mode: await permissions.accessMode(request.doer, owner) })
}

async function sendList(request: FastifyRequest, reply: FastifyReply, owner: Owner) {
  const { packages, permissions } = request.server.services
  const paging = readPaging(request.query as { page?: number; limit?: number })
  const mode = await permissions.accessMode(request.doer, owner)
  const showsPrivate = isRepositoryVisible({ isPrivate: true }, request.doer, mode)
  const { rows, total } = await packages.repositories.list(owner, showsPrivate, paging)
  setPagingHeaders(request, reply, paging, total)
  return rows.map((row) => toJson(request, { owner, row, mode }))
}

function toJson({ doer, server }: FastifyRequest, { owner, row, mode }: RepositoryTarget) {
  return toRepositoryJson(server.services.config.baseUrl, { owner, row }, doer, doer.user === null ? null : mode)
}

/** A token that may not see what is private must not make it either. */
function requireSeeable({ doer }: FastifyRequest, { isPrivate }: RepositoryChanges): void {
  if (isPrivate === true && doer.scopes?.publicOnly === true) {
    throw new Forbidden('this token is for what is public only', 'public-only')
  }
}

function toChanges(input: Omit<Type.Static<typeof EditRepository>, 'name'>): RepositoryChanges {
  if (input.website) checkWebsite(input.website)
  return { url: given(input.website), description: given(input.description), isPrivate: given(input.private) }
}
