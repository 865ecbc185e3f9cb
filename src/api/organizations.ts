import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AccountChanges, NewOrganization } from '../auth/accounts.ts'
import type { Owner } from '../auth/owner.ts'
import type { Page } from '../auth/page.ts'
import { type Paging, pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { OrganizationSchema, toOrganizationJson } from '../json/accounts.ts'
import { body, given, optional, text } from './schemas.ts'
import { getUser, getVisibleAccount, getVisibleOrganization } from './visible-accounts.ts'

const editable = {
  full_name: optional(text(100)),
  email: optional(text(254)),
  description: optional(text(255)),
  website: optional(text(255)),
  location: optional(text(50)),
  visibility: optional(Type.Enum(['', 'public', 'limited', 'private'])),
  // Accepted from Gitea's clients, without effect.
  repo_admin_change_team_access: optional(Type.Boolean()),
}
const EditOrganization = body(editable, { title: 'EditOrgOption' })
const CreateOrganization = body({ username: text(40, 1), ...editable }, { title: 'CreateOrgOption' })
const OrgParameters = Type.Object({ org: Type.String() })
const UserParameters = Type.Object({ username: Type.String() })
const Organizations = { querystring: Type.Object(pagingParameters), response: { 200: Type.Array(OrganizationSchema) } }

/** Organizations (rest-api.md §7). */
export const organizations: FastifyPluginAsyncTypebox = async (app) => {
  const { accounts } = app.services

  app.get(
    '/orgs',
    {
      config: { access: 'public', scope: 'organization' },
      schema: { summary: 'List organizations', ...Organizations },
    },
    async (request, reply) => {
      const paging = readPaging(request.query)
      return sendList(request, reply, paging, await accounts.listing.organizations(request.doer, paging))
    },
  )

  app.post(
    '/orgs',
    {
      config: { access: 'signed-in', scope: 'organization' },
      schema: { summary: 'Make an organization', body: CreateOrganization, response: { 201: OrganizationSchema } },
    },
    async (request, reply) => {
      const organization = await accounts.createOrganization(request.doer.user!, toNewOrganization(request.body))
      return reply.code(201).send(toOrganizationJson(organization, request.doer))
    },
  )

  app.post(
    '/admin/users/:username/orgs',
    {
      config: { access: 'admin', scope: 'admin' },
      schema: {
        summary: 'Make an organization for a user',
        params: UserParameters,
        body: CreateOrganization,
        response: { 201: OrganizationSchema },
      },
    },
    async (request, reply) => {
      const creator = await getUser(request, request.params.username)
      const input = toNewOrganization(request.body)
      // The administrator decides; whether the user could do it alone does not matter.
      const organization = await accounts.createOrganization({ ...creator, allowCreateOrganization: true }, input)
      return reply.code(201).send(toOrganizationJson(organization, request.doer))
    },
  )

  app.get(
    '/admin/users/:username/orgs',
    {
      config: { access: 'admin', scope: 'admin' },
      schema: { summary: 'List the organizations of a user, all of them', params: UserParameters, ...Organizations },
    },
    async (request, reply) => {
      const paging = readPaging(request.query)
      const user = await getUser(request, request.params.username)
      return sendList(request, reply, paging, await accounts.listing.organizationsOf(user, request.doer, paging))
    },
  )

  app.get(
    '/admin/orgs',
    { config: { access: 'admin', scope: 'admin' }, schema: { summary: 'List all organizations', ...Organizations } },
    async (request, reply) => {
      const paging = readPaging(request.query)
      return sendList(request, reply, paging, await accounts.listing.organizations(request.doer, paging))
    },
  )

  app.get(
    '/user/orgs',
    {
      config: { access: 'signed-in', scope: ['user', 'organization'] },
      schema: { summary: 'List the organizations of the signed-in user', ...Organizations },
    },
    async (request, reply) => {
      const paging = readPaging(request.query)
      const { doer } = request
      return sendList(request, reply, paging, await accounts.listing.organizationsOf(doer.user!, doer, paging))
    },
  )

  app.get(
    '/users/:username/orgs',
    {
      config: { access: 'signed-in', scope: ['user', 'organization'] },
      schema: { summary: 'List the organizations of a user', params: UserParameters, ...Organizations },
    },
    async (request, reply) => {
      const paging = readPaging(request.query)
      const user = await getVisibleAccount(request, request.params.username)
      return sendList(request, reply, paging, await accounts.listing.organizationsOf(user, request.doer, paging))
    },
  )

  app.get(
    '/orgs/:org',
    {
      config: { access: 'public', scope: 'organization' },
      schema: { summary: 'Get an organization', params: OrgParameters, response: { 200: OrganizationSchema } },
    },
    async (request) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      return toOrganizationJson(organization, request.doer)
    },
  )

  app.patch(
    '/orgs/:org',
    {
      config: { access: 'owner', scope: 'organization' },
      schema: {
        summary: 'Change an organization',
        params: OrgParameters,
        body: EditOrganization,
        response: { 200: OrganizationSchema },
      },
    },
    async (request) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      const changed = await accounts.updateOrganization(organization, toChanges(request.body))
      return toOrganizationJson(changed, request.doer)
    },
  )

  app.delete(
    '/orgs/:org',
    {
      config: { access: 'owner', scope: 'organization' },
      schema: { summary: 'Delete an organization', params: OrgParameters },
    },
    async (request, reply) => {
      await accounts.deleteOrganization(await getVisibleOrganization(request, request.params.org))
      return reply.code(204).send()
    },
  )
}

function sendList(request: FastifyRequest, reply: FastifyReply, paging: Paging, { rows, total }: Page<Owner>) {
  setPagingHeaders(request, reply, paging, total)
  return rows.map((organization) => toOrganizationJson(organization, request.doer))
}

function toNewOrganization(input: Type.Static<typeof CreateOrganization>): NewOrganization {
  return { username: input.username, ...toChanges(input) }
}

function toChanges(input: Type.Static<typeof EditOrganization>): AccountChanges {
  return {
    fullName: given(input.full_name),
    email: given(input.email),
    description: given(input.description),
    website: given(input.website),
    location: given(input.location),
    visibility: input.visibility || undefined,
  }
}
