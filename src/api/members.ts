import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Owner } from '../auth/owner.ts'
import type { Page } from '../auth/page.ts'
import { NotFound } from '../errors.ts'
import { type Paging, pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { toUserJson, UserSchema } from '../json/accounts.ts'
import { getVisibleOrganization } from './visible-accounts.ts'

const OrgParameters = Type.Object({ org: Type.String() })
const MemberParameters = Type.Object({ org: Type.String(), username: Type.String() })
const Users = {
  params: OrgParameters,
  querystring: Type.Object(pagingParameters),
  response: { 200: Type.Array(UserSchema) },
}
const scope = 'organization' as const

/**
 * Who is in an organization (rest-api.md §7). Members and administrators know all; to others it looks as if only those
 * were members who show it. Who is no member is answered for as if there were no such user (security.md S4).
 */
export const members: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app
  const { listing } = services.accounts

  app.get(
    '/orgs/:org/members',
    { config: { access: 'signed-in', scope }, schema: { summary: 'List the members of an organization', ...Users } },
    async (request, reply) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      const paging = readPaging(request.query)
      const page = (await isInside(request, organization))
        ? await listing.members(organization, paging)
        : await listing.publicMembers(organization, request.doer, paging)
      return sendUsers(request, reply, paging, page)
    },
  )

  app.get(
    '/orgs/:org/members/:username',
    {
      config: { access: 'signed-in', scope, answers: [204, 303] },
      schema: { summary: 'Check whether a user is a member', params: MemberParameters },
    },
    async (request, reply) => {
      const { org, username } = request.params
      const organization = await getVisibleOrganization(request, org)
      if (await isInside(request, organization)) {
        const user = await findUser(request, username)
        if (!(await services.members.isMember(organization, user))) throw new NotFound('user')
        return reply.code(204).send()
      }
      if (username.toLowerCase() === request.doer.user!.lowerName) throw new NotFound('user')
      // Whether there is such a user does not matter yet: the other route tells it to those who may know.
      const base = new URL(services.config.baseUrl).pathname.replace(/\/$/, '')
      const path = `/api/v1/orgs/${encodeURIComponent(organization.name)}/public_members/${encodeURIComponent(username)}`
      return reply.redirect(`${base}${path}`, 303)
    },
  )

  app.delete(
    '/orgs/:org/members/:username',
    {
      config: { access: 'owner', scope },
      schema: { summary: 'Take a member out of all teams', params: MemberParameters },
    },
    async (request, reply) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      await services.members.leaveAll(organization, await findUser(request, request.params.username))
      return reply.code(204).send()
    },
  )

  app.get(
    '/orgs/:org/public_members',
    { config: { access: 'public', scope }, schema: { summary: 'List the members who show it', ...Users } },
    async (request, reply) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      const paging = readPaging(request.query)
      return sendUsers(request, reply, paging, await listing.publicMembers(organization, request.doer, paging))
    },
  )

  app.get(
    '/orgs/:org/public_members/:username',
    {
      config: { access: 'public', scope },
      schema: { summary: 'Check whether a user shows that he is a member', params: MemberParameters },
    },
    async (request, reply) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      const user = await findUser(request, request.params.username)
      const isKnown = await services.permissions.canSee(request.doer, user)
      if (!isKnown || !(await services.members.isPublic(organization, user))) throw new NotFound('user')
      return reply.code(204).send()
    },
  )

  for (const method of ['PUT', 'DELETE'] as const) {
    app.route({
      method,
      url: '/orgs/:org/public_members/:username',
      config: { access: 'membership', scope },
      schema: { summary: method === 'PUT' ? 'Show a membership' : 'Conceal a membership', params: MemberParameters },
      handler: async (request, reply) => {
        const { org, username } = request.params
        const organization = await getVisibleOrganization(request, org)
        await services.members.show(organization, await findUser(request, username), method === 'PUT')
        return reply.code(204).send()
      },
    })
  }
}

/** The user of that name, for whoever is then asked about a member: of others nothing may be told. */
async function findUser(request: FastifyRequest, name: string): Promise<Owner> {
  const account = await request.server.services.accounts.find(name)
  if (account?.kind !== 'user') throw new NotFound('user')
  return account
}

/** A token for what is public gets what is shown to everybody. */
async function isInside({ doer, server }: FastifyRequest, organization: Owner): Promise<boolean> {
  return doer.scopes?.publicOnly !== true && (await server.services.permissions.isOrgMember(doer, organization))
}

function sendUsers(request: FastifyRequest, reply: FastifyReply, paging: Paging, { rows, total }: Page<Owner>) {
  setPagingHeaders(request, reply, paging, total)
  return rows.map((user) => toUserJson(user, request.doer, request.server.services.config.baseUrl))
}
