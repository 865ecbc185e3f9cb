import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { toUserJson, UserSchema } from '../json/accounts.ts'
import { SearchText } from './schemas.ts'
import { getVisibleAccount } from './visible-accounts.ts'

/** Who is who (rest-api.md §4). */
export const users: FastifyPluginAsyncTypebox = async (app) => {
  const { accounts, config } = app.services

  app.get(
    '/user',
    {
      config: { access: 'signed-in', scope: 'user', forRestrictedTokens: true },
      schema: { summary: 'Get the signed-in user', response: { 200: UserSchema } },
    },
    async ({ doer }) => toUserJson(doer.user!, doer, config.baseUrl),
  )

  app.get(
    '/users/search',
    {
      config: { access: 'public', scope: 'user' },
      schema: {
        summary: 'Search for users',
        querystring: Type.Object({
          ...pagingParameters,
          q: Type.Optional(SearchText),
          uid: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
        }),
        response: { 200: Type.Object({ ok: Type.Boolean(), data: Type.Array(UserSchema) }) },
      },
    },
    async (request, reply) => {
      const { q = '', uid = 0 } = request.query
      const paging = readPaging(request.query)
      const search = { q, ...(uid === 0 ? {} : { id: uid }) }
      const { rows, total } = await accounts.listing.searchUsers(request.doer, search, paging)
      setPagingHeaders(request, reply, paging, total)
      return { ok: true, data: rows.map((user) => toUserJson(user, request.doer, config.baseUrl)) }
    },
  )

  app.get(
    '/users/:username',
    {
      config: { access: 'public', scope: 'user' },
      schema: {
        summary: 'Get a user, or an organization as an owner',
        params: Type.Object({ username: Type.String() }),
        response: { 200: UserSchema },
      },
    },
    async (request) => {
      const account = await getVisibleAccount(request, request.params.username)
      return toUserJson(account, request.doer, config.baseUrl)
    },
  )
}
