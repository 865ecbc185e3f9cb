import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { AccessTokenRow } from '../auth/access-tokens.ts'
import type { Doer } from '../auth/authenticator.ts'
import { Scopes } from '../auth/scopes.ts'
import { Forbidden, NotFound, Unauthenticated } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { body, given, optional, text } from './schemas.ts'
import { formatTime, formatTimeOrNever, hiddenTime } from './time.ts'
import { getUser } from './visible-accounts.ts'

const TokenSchema = Type.Object({
  id: Type.Integer(),
  name: Type.String(),
  sha1: Type.String(),
  token_last_eight: Type.String(),
  scopes: Type.Array(Type.String()),
  created_at: Type.String(),
  last_used_at: Type.String(),
})
const OwnTokenSchema = Type.Object({
  id: Type.Integer(),
  name: Type.String(),
  scopes: Type.Array(Type.String()),
  created_at: Type.String(),
  last_used_at: Type.String(),
  user: Type.Object({ id: Type.Integer(), login: Type.String() }),
})
const UserParameters = Type.Object({ username: Type.String() })
const ofUser = { config: { access: 'self', scope: 'user' }, preValidation: requireBasic } as const
// Any token may look at itself and give itself up.
const ofItself = { config: { access: 'signed-in', scope: null } } as const

/** Access tokens (rest-api.md §5). */
export const tokens: FastifyPluginAsyncTypebox = async (app) => {
  const { accessTokens } = app.services

  app.get(
    '/users/:username/tokens',
    {
      ...ofUser,
      schema: {
        params: UserParameters,
        querystring: Type.Object(pagingParameters),
        response: { 200: Type.Array(TokenSchema) },
      },
    },
    async (request, reply) => {
      const user = await getUser(request, request.params.username)
      const paging = readPaging(request.query)
      const { rows, total } = await accessTokens.list(user.id, paging)
      setPagingHeaders(request, reply, paging, total)
      return rows.map((row) => ({
        ...commonJson(row),
        sha1: '',
        token_last_eight: row.tokenLastEight,
        created_at: formatTime(row.createdAt),
        last_used_at: formatTimeOrNever(row.lastUsedAt),
      }))
    },
  )

  app.post(
    '/users/:username/tokens',
    {
      ...ofUser,
      schema: {
        params: UserParameters,
        body: body({
          name: text(255, 1),
          scopes: optional(Type.Array(Type.String({ maxLength: 255 }), { maxItems: 50 })),
        }),
        response: { 201: TokenSchema },
      },
    },
    async (request, reply) => {
      const user = await getUser(request, request.params.username)
      const scopes = grantableScopes(request.doer, given(request.body.scopes) ?? [])
      const { row, secret } = await accessTokens.create(user, request.body.name, scopes)
      return reply.code(201).send({
        ...commonJson(row),
        sha1: secret,
        token_last_eight: row.tokenLastEight,
        created_at: hiddenTime,
        last_used_at: hiddenTime,
      })
    },
  )

  app.delete(
    '/users/:username/tokens/:token',
    { ...ofUser, schema: { params: Type.Object({ username: Type.String(), token: Type.String() }) } },
    async (request, reply) => {
      const user = await getUser(request, request.params.username)
      const token = await accessTokens.find(user.id, request.params.token)
      if (token === null) throw new NotFound('token')
      await accessTokens.revoke(token)
      return reply.code(204).send()
    },
  )

  app.get('/token', { ...ofItself, schema: { response: { 200: OwnTokenSchema } } }, async (request) => {
    const row = await getOwnToken(request)
    const user = request.doer.user!
    return {
      ...commonJson(row),
      created_at: formatTime(row.createdAt),
      last_used_at: formatTimeOrNever(row.lastUsedAt),
      user: { id: user.id, login: user.name },
    }
  })

  app.delete('/token', ofItself, async (request, reply) => {
    await accessTokens.revoke(await getOwnToken(request))
    return reply.code(204).send()
  })
}

function commonJson(row: AccessTokenRow) {
  return { id: row.id, name: row.name, scopes: Scopes.fromStored(row.scopes).toList() }
}

/** Making tokens takes a password, or a token sent as one: a leaked bearer token shall not multiply by accident. */
async function requireBasic({ doer }: FastifyRequest): Promise<void> {
  if (doer.via !== 'basic') throw new Unauthenticated('auth required', 'token')
}

/** A token never makes a stronger one (security.md S8); one for public owners makes others for public owners. */
function grantableScopes({ scopes: own }: Doer, list: string[]): Scopes {
  const asked = Scopes.parse(list)
  if (own === null) return asked
  const scopes = own.publicOnly ? asked.restrictToPublic() : asked
  if (!scopes.isSubsetOf(own)) throw new Forbidden('the token in use has not all of these scopes', 'token')
  return scopes
}

async function getOwnToken({ doer, server }: FastifyRequest): Promise<AccessTokenRow> {
  const { accessTokens } = server.services
  const row = doer.via === 'bearer' && doer.tokenId !== null ? await accessTokens.findById(doer.tokenId) : null
  if (row === null) throw new NotFound('token')
  return row
}
