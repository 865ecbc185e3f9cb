import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { Owner } from '../auth/owner.ts'
import { NotFound } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { toUserJson, UserSchema } from '../json/accounts.ts'
import { getVisibleAccount } from './visible-accounts.ts'

const TeamParameters = Type.Object({ team: Type.String() })
const SeatParameters = Type.Object({ team: Type.String(), username: Type.String() })
const scope = 'organization' as const
const forViewers = { config: { access: 'team-members', scope } } as const
const forTeamOwners = { config: { access: 'team-owner', scope } } as const

/** Who is in a team; there is no other way into an organization (rest-api.md §7). */
export const teamMembers: FastifyPluginAsyncTypebox = async (app) => {
  const { accounts, members, config } = app.services

  app.get(
    '/teams/:team/members',
    {
      ...forViewers,
      schema: {
        summary: 'List the members of a team',
        params: TeamParameters,
        querystring: Type.Object(pagingParameters),
        response: { 200: Type.Array(UserSchema) },
      },
    },
    async (request, reply) => {
      const { team, doer } = request
      const paging = readPaging(request.query)
      const { rows, total } = await accounts.listing.teamMembers(team!.row, doer, paging)
      setPagingHeaders(request, reply, paging, total)
      return rows.map((user) => toUserJson(user, doer, config.baseUrl))
    },
  )

  app.get(
    '/teams/:team/members/:username',
    {
      ...forViewers,
      schema: { summary: 'Get a member of a team', params: SeatParameters, response: { 200: UserSchema } },
    },
    async (request) => {
      const { team, doer } = request
      const user = await findMember(request, request.params.username)
      if (!(await members.isInTeam(team!.row, user))) throw new NotFound('user')
      return toUserJson(user, doer, config.baseUrl)
    },
  )

  const joining = { summary: 'Make a user a member of a team', params: SeatParameters }
  app.put('/teams/:team/members/:username', { ...forTeamOwners, schema: joining }, async (request, reply) => {
    await members.join(request.team!.row, await findCandidate(request, request.params.username))
    return reply.code(204).send()
  })

  const leaving = { summary: 'Take a user out of a team', params: SeatParameters }
  app.delete('/teams/:team/members/:username', { ...forTeamOwners, schema: leaving }, async (request, reply) => {
    await members.leave(request.team!.row, await findMember(request, request.params.username))
    return reply.code(204).send()
  })
}

/** A member of the team's organization; who is none is as unknown as a name that nobody has (security.md S4). */
async function findMember(request: FastifyRequest, name: string): Promise<Owner> {
  const { accounts, members } = request.server.services
  const user = await accounts.find(name)
  if (user?.kind !== 'user' || !(await members.isMember(request.team!.org, user))) throw new NotFound('user')
  return user
}

/** A member of the organization, or any user that the caller may know of. */
async function findCandidate(request: FastifyRequest, name: string): Promise<Owner> {
  const { accounts, members } = request.server.services
  const account = await accounts.find(name)
  if (account?.kind !== 'user') throw new NotFound('user', name)
  if (await members.isMember(request.team!.org, account)) return account
  return getVisibleAccount(request, name)
}
