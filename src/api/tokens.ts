import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { AccessTokenRow } from '../auth/access-tokens.ts'
import { Scopes } from '../auth/scopes.ts'
import { grantRights } from '../auth/token-limits.ts'
import { NotFound, Unauthenticated } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { formatTime, formatTimeOrNever, hiddenTime } from '../json/time.ts'
import { body, given, optional, TokenName } from './schemas.ts'
import { limitFields, readExpiry, readRestriction, shownLimitFields } from './token-restrictions.ts'
import { getUser } from './visible-accounts.ts'

const TokenSchema = Type.Object(
  {
    id: Type.Integer(),
    name: Type.String(),
    sha1: Type.String(),
    token_last_eight: Type.String(),
    scopes: Type.Array(Type.String()),
    created_at: Type.String(),
    last_used_at: Type.String(),
    ...shownLimitFields,
  },
  { title: 'AccessToken' },
)
const OwnTokenSchema = Type.Object(
  {
    id: Type.Integer(),
    name: Type.String(),
    scopes: Type.Array(Type.String()),
    created_at: Type.String(),
    last_used_at: Type.String(),
    ...shownLimitFields,
    user: Type.Object({ id: Type.Integer(), login: Type.String() }),
  },
  { title: 'OwnAccessToken' },
)
const UserParameters = Type.Object({ username: Type.String() })
const ofUser = { config: { access: 'self', scope: 'user' }, preValidation: requireBasic } as const
const security = [{ BasicAuth: [] }]
// Any token may look at itself and give itself up.
const ofItself = { config: { access: 'signed-in', scope: null, forRestrictedTokens: true } } as const

/** Access tokens (rest-api.md §5). */
export const tokens: FastifyPluginAsyncTypebox = async (app) => {
  const { accessTokens } = app.services

  app.get(
    '/users/:username/tokens',
    {
      ...ofUser,
      schema: {
        summary: 'List access tokens',
        security,
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
        summary: 'Make an access token; its secret is shown this once',
        security,
        params: UserParameters,
        body: body({
          name: TokenName,
          scopes: optional(Type.Array(Type.String({ maxLength: 255 }), { maxItems: 50 })),
          ...limitFields,
        }),
        response: { 201: TokenSchema },
      },
    },
    async (request, reply) => {
      const { doer, body } = request
      const user = await getUser(request, request.params.username)
      const { scopes, ...limits } = grantRights(doer, {
        scopes: Scopes.parse(given(body.scopes) ?? []),
        restriction: await readRestriction(app.services, doer, body),
        expiresAt: readExpiry(app.services, body),
      })
      // What an administrator makes for others outlives the token with which he did it.
      const parentId = user.id === (doer.sudoer ?? doer.user!).id ? doer.tokenId : null
      const { row, secret } = await accessTokens.create(user, body.name, scopes, { ...limits, parentId })
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
    {
      ...ofUser,
      schema: {
        summary: 'Revoke an access token, by its name or id',
        security,
        params: Type.Object({ username: Type.String(), token: Type.String() }),
      },
    },
    async (request, reply) => {
      const user = await getUser(request, request.params.username)
      const token = await accessTokens.find(user.id, request.params.token)
      if (token === null) throw new NotFound('token')
      await accessTokens.revoke(token)
      return reply.code(204).send()
    },
  )

  app.get(
    '/token',
    { ...ofItself, schema: { summary: 'Get the token in use', response: { 200: OwnTokenSchema } } },
    async (request) => {
      const row = await getOwnToken(request)
      const user = request.doer.sudoer ?? request.doer.user!
      return {
        ...commonJson(row),
        created_at: formatTime(row.createdAt),
        last_used_at: formatTimeOrNever(row.lastUsedAt),
        user: { id: user.id, login: user.name },
      }
    },
  )

  app.delete('/token', { ...ofItself, schema: { summary: 'Revoke the token in use' } }, async (request, reply) => {
    await accessTokens.revoke(await getOwnToken(request))
    return reply.code(204).send()
  })
}

function commonJson(row: AccessTokenRow) {
  return {
    id: row.id,
    name: row.name,
    scopes: Scopes.fromStored(row.scopes).toList(),
    expires_at: row.expiresAt === null ? null : formatTime(row.expiresAt),
    restrictions: row.restriction?.toLists() ?? null,
  }
}

/** Making tokens takes a password, or a token sent as one: a leaked bearer token shall not multiply by accident. */
async function requireBasic({ doer }: FastifyRequest): Promise<void> {
  if (doer.via !== 'basic') throw new Unauthenticated('auth required', 'token')
}

async function getOwnToken({ doer, server }: FastifyRequest): Promise<AccessTokenRow> {
  const { accessTokens } = server.services
  const row = doer.via === 'bearer' && doer.tokenId !== null ? await accessTokens.findById(doer.tokenId) : null
  if (row === null) throw new NotFound('token')
  return row
}
