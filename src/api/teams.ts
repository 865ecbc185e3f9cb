import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Owner } from '../auth/owner.ts'
import { Forbidden } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { SearchText } from './schemas.ts'
import { CreateTeam, EditTeam, TeamSchema, toTeamChanges, toTeamJson } from './team-json.ts'
import { getVisibleOrganization } from './visible-accounts.ts'

const Paging = Type.Object(pagingParameters)
const SearchQuery = Type.Object({
  ...pagingParameters,
  q: Type.Optional(SearchText),
  include_desc: Type.Optional(Type.Boolean()),
})
const OrgParameters = Type.Object({ org: Type.String() })
const TeamParameters = Type.Object({ team: Type.String() })
const scope = 'organization' as const
const forMembers = { config: { access: 'member', scope } } as const
const forOwners = { config: { access: 'owner', scope } } as const
const forTeamOwners = { config: { access: 'team-owner', scope } } as const

/** Teams of organizations (rest-api.md §7). */
export const teams: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app

  app.get(
    '/orgs/:org/teams',
    {
      ...forMembers,
      schema: {
        summary: 'List the teams of an organization',
        params: OrgParameters,
        querystring: Paging,
        response: { 200: Type.Array(TeamSchema) },
      },
    },
    async (request, reply) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      return list(request, reply, organization, {})
    },
  )

  app.get(
    '/orgs/:org/teams/search',
    {
      ...forMembers,
      schema: {
        summary: 'Search for teams of an organization',
        params: OrgParameters,
        querystring: SearchQuery,
        response: { 200: Type.Object({ ok: Type.Boolean(), data: Type.Array(TeamSchema) }) },
      },
    },
    async (request, reply) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      return { ok: true, data: await list(request, reply, organization, request.query) }
    },
  )

  app.post(
    '/orgs/:org/teams',
    {
      ...forOwners,
      schema: { summary: 'Make a team', params: OrgParameters, body: CreateTeam, response: { 201: TeamSchema } },
    },
    async (request, reply) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      const team = await services.teams.create(organization, request.body.name, toTeamChanges(request.body))
      return reply.code(201).send(toTeamJson(team, organization, request.doer))
    },
  )

  app.get(
    '/teams/:team',
    {
      config: { access: 'team', scope },
      schema: { summary: 'Get a team', params: TeamParameters, response: { 200: TeamSchema } },
    },
    async ({ team, doer }) => toTeamJson(team!.row, team!.org, doer),
  )

  app.patch(
    '/teams/:team',
    {
      ...forTeamOwners,
      schema: { summary: 'Change a team', params: TeamParameters, body: EditTeam, response: { 200: TeamSchema } },
    },
    async ({ team, doer, body }) => toTeamJson(await services.teams.update(team!.row, toTeamChanges(body)), null, doer),
  )

  app.delete(
    '/teams/:team',
    { ...forTeamOwners, schema: { summary: 'Delete a team', params: TeamParameters } },
    async ({ team }, reply) => {
      await services.teams.remove(team!.row)
      return reply.code(204).send()
    },
  )

  app.get(
    '/user/teams',
    {
      config: { access: 'signed-in', scope: 'user' },
      schema: {
        summary: 'List the teams of the signed-in user',
        querystring: Paging,
        response: { 200: Type.Array(TeamSchema) },
      },
    },
    async (request, reply) => {
      const { doer } = request
      if (doer.scopes?.publicOnly === true) throw new Forbidden('this token reads public accounts only', 'public-only')
      const paging = readPaging(request.query)
      const { rows, total } = await services.teams.listOf(doer.user!, paging)
      setPagingHeaders(request, reply, paging, total)
      const organizations = await Promise.all(rows.map((team) => services.accounts.findById(team.orgId)))
      return rows.map((team, index) => toTeamJson(team, organizations[index] ?? null, doer))
    },
  )
}

/** Owners and administrators see all teams, other members theirs and those that are not private. */
async function list(
  request: FastifyRequest,
  reply: FastifyReply,
  organization: Owner,
  query: { page?: number; limit?: number; q?: string; include_desc?: boolean },
) {
  const { doer, server } = request
  const { permissions, teams } = server.services
  const paging = readPaging(request.query as { page?: number; limit?: number })
  const member = (await permissions.isOrgOwner(doer, organization)) ? null : doer.user
  const search = { q: query.q ?? '', inDescriptions: query.include_desc ?? true }
  const { rows, total } = await teams.list(organization, member, search, paging)
  setPagingHeaders(request, reply, paging, total)
  return rows.map((team) => toTeamJson(team, null, doer))
}
