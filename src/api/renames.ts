import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { Unprocessable } from '../errors.ts'
import { OwnerRenames } from '../packages/owner-renames.ts'
import { body, text } from './schemas.ts'
import { getUser, getVisibleOrganization } from './visible-accounts.ts'

/** Other names for accounts (rest-api.md §6, §7). The old name leads to the new one until somebody takes it. */
export const renames: FastifyPluginAsyncTypebox = async (app) => {
  const { accounts } = app.services
  const owners = new OwnerRenames(app.services)

  app.post(
    '/admin/users/:username/rename',
    {
      config: { access: 'admin', scope: 'admin' },
      schema: {
        summary: 'Give a user another name',
        params: Type.Object({ username: Type.String() }),
        body: body({ new_username: text(40, 1) }, { title: 'RenameUserOption' }),
      },
    },
    async (request, reply) => {
      const { username } = request.params
      if ((await accounts.find(username))?.kind === 'organization') {
        throw new Unprocessable(`${username} is an organization not a user`)
      }
      await owners.rename(await getUser(request, username), request.body.new_username)
      return reply.code(204).send()
    },
  )

  app.post(
    '/orgs/:org/rename',
    {
      config: { access: 'owner', scope: 'organization' },
      schema: {
        summary: 'Give an organization another name',
        params: Type.Object({ org: Type.String() }),
        body: body({ new_name: text(40, 1) }, { title: 'RenameOrgOption' }),
      },
    },
    async (request, reply) => {
      await owners.rename(await getVisibleOrganization(request, request.params.org), request.body.new_name)
      return reply.code(204).send()
    },
  )
}
