import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { NotFound } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { findRepository, type RepositoryTarget } from '../http/repository-access.ts'
import { RepositorySchema, toRepositoryJson } from '../json/repositories.ts'
import { isRepositoryVisible } from '../packages/repository.ts'
import { TeamRepositories } from '../packages/team-repositories.ts'

const TeamParameters = Type.Object({ team: Type.String() })
const ItemParameters = Type.Object({ team: Type.String(), org: Type.String(), repository: Type.String() })
const scope = 'organization' as const
const forViewers = { config: { access: 'team', scope } } as const
const forTeamOwners = { config: { access: 'team-owner', scope } } as const

/** Which repositories a team is about (rest-api.md §7). */
export const teamRepositories: FastifyPluginAsyncTypebox = async (app) => {
  const { permissions, config } = app.services
  const repositories = new TeamRepositories(app.services)

  app.get(
    '/teams/:team/repos',
    {
      ...forViewers,
      schema: {
        summary: 'List the repositories of a team',
        params: TeamParameters,
        querystring: Type.Object(pagingParameters),
        response: { 200: Type.Array(RepositorySchema) },
      },
    },
    async (request, reply) => {
      const { doer } = request
      const { row: team, org: owner } = request.team!
      const paging = readPaging(request.query)
      const mode = await permissions.accessMode(doer, owner)
      const isShown = isRepositoryVisible({ isPrivate: false }, doer, mode)
      const showsPrivate = isRepositoryVisible({ isPrivate: true }, doer, mode)
      const { rows, total } = isShown ? await repositories.list(team, showsPrivate, paging) : { rows: [], total: 0 }
      setPagingHeaders(request, reply, paging, total)
      return rows.map((row) => toRepositoryJson(config.baseUrl, { owner, row }, doer, mode))
    },
  )

  app.get(
    '/teams/:team/repos/:org/:repository',
    {
      ...forViewers,
      schema: { summary: 'Get a repository of a team', params: ItemParameters, response: { 200: RepositorySchema } },
    },
    async (request) => {
      const target = await findOfOrganization(request)
      if (!(await repositories.has(request.team!.row, target.row))) throw new NotFound('repository')
      return toRepositoryJson(config.baseUrl, target, request.doer, target.mode)
    },
  )

  const adding = { summary: 'Give a team a repository', params: ItemParameters }
  app.put('/teams/:team/repos/:org/:repository', { ...forTeamOwners, schema: adding }, async (request, reply) => {
    await repositories.add(request.team!.row, (await findOfOrganization(request)).row)
    return reply.code(204).send()
  })

  const removing = { summary: 'Take a repository from a team', params: ItemParameters }
  app.delete('/teams/:team/repos/:org/:repository', { ...forTeamOwners, schema: removing }, async (request, reply) => {
    await repositories.remove(request.team!.row, (await findOfOrganization(request)).row)
    return reply.code(204).send()
  })
}

/** Of the team's own organization only: the caller's rights are checked there (security.md S13). */
async function findOfOrganization({ doer, params, team, server }: FastifyRequest): Promise<RepositoryTarget> {
  const { org, repository } = params as { org: string; repository: string }
  const target = await findRepository(server.services, doer, { owner: org, repository })
  if (target.owner.id !== team!.org.id) throw new NotFound('repository', `${org}/${repository}`)
  return target
}
