import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Forbidden, NotFound, Unauthenticated, Unprocessable } from '../errors.ts'
import { cacheControl } from '../http/cache-control.ts'
import { formatTime } from '../json/time.ts'
import { body } from './schemas.ts'
import { getUser } from './visible-accounts.ts'

const StateSchema = Type.Object(
  {
    enabled: Type.Boolean(),
    created_at: Type.Union([Type.String(), Type.Null()]),
    recovery_codes_left: Type.Integer(),
  },
  { title: 'TwoFactor' },
)
const EnrolmentSchema = Type.Object({ secret: Type.String(), url: Type.String() }, { title: 'TwoFactorEnrolment' })
const RecoveryCodesSchema = Type.Object(
  { recovery_codes: Type.Array(Type.String()) },
  { title: 'TwoFactorRecoveryCodes' },
)
const signedIn = { access: 'signed-in', scope: 'user' } as const
const ofPassword = { config: signedIn, preValidation: requireOwnPassword } as const
const security = [{ BasicAuth: [] }]

/** One-time codes beside passwords (rest-api.md §1). Gitea has pages for this; the paths are ours. */
export const twoFactor: FastifyPluginAsyncTypebox = async (app) => {
  const { twoFactor } = app.services

  app.get(
    '/user/two_factor',
    {
      config: signedIn,
      schema: { summary: 'Get the state of one’s two-factor authentication', response: { 200: StateSchema } },
    },
    async ({ doer }) => {
      const state = await twoFactor.describe(doer.user!.id)
      if (state === null || state.confirmedAt === null) {
        return { enabled: false, created_at: null, recovery_codes_left: 0 }
      }
      return {
        enabled: true,
        created_at: formatTime(state.confirmedAt),
        recovery_codes_left: state.recoveryCodesLeft,
      }
    },
  )

  app.post(
    '/user/two_factor',
    {
      ...ofPassword,
      schema: {
        summary: 'Get a secret for an authenticator app, shown this once; it counts when it is confirmed',
        security,
        response: { 201: EnrolmentSchema },
      },
    },
    async ({ doer }, reply) => {
      reply.header('cache-control', cacheControl.noStore)
      return reply.code(201).send(await twoFactor.enrol(doer.user!))
    },
  )

  app.post(
    '/user/two_factor/confirm',
    {
      ...ofPassword,
      schema: {
        summary: 'Enable two-factor authentication with a code of the app; the recovery codes are shown this once',
        security,
        body: body({ code: Type.String({ minLength: 1, maxLength: 64 }) }),
        response: { 200: RecoveryCodesSchema },
      },
    },
    async ({ doer, body: { code } }, reply) => {
      reply.header('cache-control', cacheControl.noStore)
      return { recovery_codes: await twoFactor.confirm(doer.user!, code) }
    },
  )

  app.delete(
    '/user/two_factor',
    { ...ofPassword, schema: { summary: 'Disable two-factor authentication; takes a code', security } },
    async ({ doer }, reply) => {
      if (!(await twoFactor.remove(doer.user!.id, doer))) throw new NotFound('one-time-code')
      return reply.code(204).send()
    },
  )

  app.delete(
    '/admin/users/:username/two_factor',
    {
      config: { access: 'admin', scope: 'admin' },
      schema: {
        summary: 'Disable the two-factor authentication of a user who cannot sign in any more',
        params: Type.Object({ username: Type.String() }),
      },
    },
    async (request, reply) => {
      const { doer } = request
      const user = await getUser(request, request.params.username)
      // An administrator's token alone shall not make his password enough.
      if (user.id === (doer.sudoer ?? doer.user!).id)
        throw new Unprocessable('use DELETE /user/two_factor for yourself')
      if (!(await twoFactor.remove(user.id, { hasCode: true }))) throw new NotFound('one-time-code')
      return reply.code(204).send()
    },
  )
}

/** Neither who found a token nor an administrator shall decide what somebody else signs in with. */
async function requireOwnPassword({ doer }: FastifyRequest): Promise<void> {
  if (doer.passwordMark === null) throw new Unauthenticated('sign in with the password', 'token')
  if (doer.sudoer !== null) throw new Forbidden('nobody can do this for another', 'user')
}
