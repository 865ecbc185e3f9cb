import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { cacheControl } from '../http/cache-control.ts'
import { formatTime } from '../json/time.ts'
import { body, given, optional } from './schemas.ts'

const ExchangedToken = Type.Object(
  {
    token: Type.String({ description: 'An access token; it writes packages until it expires.' }),
    expires_at: Type.String(),
    owner: Type.String(),
    packages: Type.Union([Type.Array(Type.Object({ type: Type.String(), name: Type.String() })), Type.Null()], {
      description: 'What it is for; null: all packages of the owner.',
    }),
  },
  { title: 'ExchangedToken' },
)

/** Where CI jobs get a token for their id-token: see src/trusted-publishing. */
export const tokenExchange: FastifyPluginAsyncTypebox = async (app) => {
  const { trustedPublishing } = app.services

  app.post(
    '/trusted_publishing/token',
    {
      // The id-token is the credential; a job may send along what it has for something else.
      config: { access: 'public', ignoresCredentials: true, limit: 'tokenExchanges' },
      schema: {
        summary: 'Exchange the id-token of a CI job for an access token, once',
        description: 'Its audience must be the base URL of this server. `owner` decides where those of several fit.',
        body: body(
          {
            id_token: Type.String({ minLength: 1, maxLength: 16_384 }),
            owner: optional(Type.String({ maxLength: 64 })),
          },
          { title: 'ExchangeTokenOption' },
        ),
        response: { 201: ExchangedToken },
      },
    },
    async ({ body, ip: address }, reply) => {
      const job = { idToken: body.id_token, owner: given(body.owner), address }
      const { token, expiresAt, owner, packages } = await trustedPublishing.exchange(job)
      return reply
        .code(201)
        .header('cache-control', cacheControl.noStore)
        .send({
          token,
          // Not later than it is: a job that waits until then has none.
          expires_at: formatTime(expiresAt),
          owner: owner.name,
          packages: packages?.map(({ type, name }) => ({ type, name })) ?? null,
        })
    },
  )
}
