import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { NotFound, Unprocessable } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { formatTime } from '../json/time.ts'
import type { Identity } from '../sign-in/identities.ts'
import { body, text } from './schemas.ts'
import { getUser } from './visible-accounts.ts'

const IdentitySchema = Type.Object(
  {
    id: Type.Integer(),
    provider: Type.String(),
    subject: Type.String(),
    created_at: Type.String(),
    last_sign_in_at: Type.Union([Type.String(), Type.Null()]),
  },
  { title: 'Identity' },
)
const UserParameters = Type.Object({ username: Type.String() })
const forAdmins = { config: { access: 'admin', scope: 'admin' } } as const

/** Who users are at identity providers. Only administrators link: whoever could link himself could be anybody. */
export const identities: FastifyPluginAsyncTypebox = async (app) => {
  const { signIn } = app.services

  app.get(
    '/admin/users/:username/identities',
    {
      ...forAdmins,
      schema: {
        summary: 'List where a user signs in',
        params: UserParameters,
        querystring: Type.Object(pagingParameters),
        response: { 200: Type.Array(IdentitySchema) },
      },
    },
    async (request, reply) => {
      const user = await getUser(request, request.params.username)
      const paging = readPaging(request.query)
      const { rows, total } = await signIn.identities.list(user, paging)
      setPagingHeaders(request, reply, paging, total)
      return rows.map(toJson)
    },
  )

  app.post(
    '/admin/users/:username/identities',
    {
      ...forAdmins,
      schema: {
        summary: 'Let somebody at an identity provider sign in as a user',
        params: UserParameters,
        body: body({ provider: text(40, 1), subject: text(255, 1) }, { title: 'LinkIdentityOption' }),
        response: { 201: IdentitySchema },
      },
    },
    async (request, reply) => {
      const user = await getUser(request, request.params.username)
      const { provider, subject } = request.body
      if (!signIn.providers.has(provider)) throw new Unprocessable(`identity provider ${provider} does not exist`)
      return reply.code(201).send(toJson(await signIn.identities.link(user, provider, subject)))
    },
  )

  app.delete(
    '/admin/users/:username/identities/:identity',
    {
      ...forAdmins,
      schema: {
        summary: 'Take an identity from a user',
        params: Type.Object({ username: Type.String(), identity: Type.String() }),
      },
    },
    async (request, reply) => {
      const { username, identity } = request.params
      const user = await getUser(request, username)
      if (!/^\d{1,15}$/.test(identity)) throw new NotFound('user', `identity ${identity} of ${username}`)
      await signIn.identities.unlink(user, Number(identity))
      return reply.code(204).send()
    },
  )
}

function toJson({ id, provider, subject, createdAt, lastSignInAt }: Identity) {
  return {
    id,
    provider,
    subject,
    created_at: formatTime(createdAt),
    last_sign_in_at: lastSignInAt === 0 ? null : formatTime(lastSignInAt),
  }
}
