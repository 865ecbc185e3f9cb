import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { NotFound } from '../errors.ts'
import { getVisibleAccount, getVisibleOrganization } from './visible-accounts.ts'

const Permissions = Type.Object(
  {
    is_owner: Type.Boolean(),
    is_admin: Type.Boolean(),
    can_write: Type.Boolean(),
    can_read: Type.Boolean(),
    can_create_repository: Type.Boolean(),
  },
  { title: 'OrganizationPermissions' },
)

/**
 * What a user may do with the packages of an organization, by his teams or whatever else gives it (rest-api.md §4). It
 * shows who is a member, so it is for himself, members and administrators; for others there is nothing.
 */
export const organizationPermissions: FastifyPluginAsyncTypebox = async (app) => {
  const { permissions, members } = app.services

  app.get(
    '/users/:username/orgs/:org/permissions',
    {
      config: { access: 'signed-in', scope: ['user', 'organization'] },
      schema: {
        summary: 'Tell what a user may do with the packages of an organization',
        params: Type.Object({ username: Type.String(), org: Type.String() }),
        response: { 200: Permissions },
      },
    },
    async (request) => {
      const { doer, params } = request
      const organization = await getVisibleOrganization(request, params.org)
      const user = await getVisibleAccount(request, params.username)
      if (user.kind !== 'user') throw new NotFound('user', params.username)
      const mayKnow = user.id === doer.user!.id || (await permissions.isOrgMember(doer, organization))
      const subject = { ...doer, user, scopes: null }
      if (!mayKnow || !(await permissions.canSee(subject, organization))) throw new NotFound('organization', params.org)
      const mode = await permissions.accessMode(subject, organization)
      return {
        is_owner: mode >= 4,
        is_admin: mode >= 3,
        can_write: mode >= 2,
        can_read: mode >= 1,
        can_create_repository: mode >= 4 || (await members.canCreateRepository(organization, user)),
      }
    },
  )
}
