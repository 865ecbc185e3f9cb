import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { NewUser, UserChanges } from '../auth/accounts.ts'
import { Unprocessable } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { toUserJson, UserSchema, VisibilitySchema } from '../json/accounts.ts'
import { body, given, optional, SearchText, text } from './schemas.ts'
import { getUser } from './visible-accounts.ts'

const isoTime = Type.String({
  pattern: '^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d{1,9})?(Z|[+-]\\d\\d:\\d\\d)$',
})
const OptionalVisibility = optional(Type.Enum(['', 'public', 'limited', 'private']))
// Where users may sign in: only here, so 0. Gitea's clients send it.
const SourceId = optional(Type.Integer())

const CreateUser = body(
  {
    username: text(40, 1),
    email: text(254, 1),
    password: optional(Type.String({ maxLength: 255 })),
    must_change_password: optional(Type.Boolean()),
    full_name: optional(text(100)),
    login_name: optional(text(255)),
    source_id: SourceId,
    send_notify: optional(Type.Boolean()),
    restricted: optional(Type.Boolean()),
    visibility: OptionalVisibility,
    created_at: optional(isoTime),
  },
  { title: 'CreateUserOption' },
)

const EditUser = body(
  {
    login_name: text(255, 1),
    source_id: SourceId,
    password: optional(Type.String({ maxLength: 255 })),
    must_change_password: optional(Type.Boolean()),
    active: optional(Type.Boolean()),
    admin: optional(Type.Boolean()),
    prohibit_login: optional(Type.Boolean()),
    restricted: optional(Type.Boolean()),
    allow_create_organization: optional(Type.Boolean()),
    // Accepted from Gitea's clients, without effect.
    allow_git_hook: optional(Type.Boolean()),
    allow_import_local: optional(Type.Boolean()),
    max_repo_creation: optional(Type.Integer()),
    email: optional(text(254, 1)),
    full_name: optional(text(100)),
    website: optional(text(255)),
    location: optional(text(50)),
    description: optional(text(255)),
    visibility: OptionalVisibility,
  },
  { title: 'EditUserOption' },
)

const UserQuery = Type.Object({
  ...pagingParameters,
  login_name: Type.Optional(SearchText),
  source_id: Type.Optional(Type.Integer()),
  q: Type.Optional(SearchText),
  sort: Type.Optional(Type.Enum(['name', 'created', 'updated', 'id'])),
  order: Type.Optional(Type.Enum(['asc', 'desc'])),
  visibility: Type.Optional(VisibilitySchema),
  is_active: Type.Optional(Type.Boolean()),
  is_admin: Type.Optional(Type.Boolean()),
  is_restricted: Type.Optional(Type.Boolean()),
  is_prohibit_login: Type.Optional(Type.Boolean()),
  is_2fa_enabled: Type.Optional(Type.Boolean()),
})

const UserParameters = Type.Object({ username: Type.String() })
const forAdmins = { config: { access: 'admin', scope: 'admin' } } as const

/** Users as administrators see them (rest-api.md §6). */
export const admin: FastifyPluginAsyncTypebox = async (app) => {
  const { accounts, packages, config } = app.services

  app.get(
    '/admin/users',
    {
      ...forAdmins,
      schema: { summary: 'List users', querystring: UserQuery, response: { 200: Type.Array(UserSchema) } },
    },
    async (request, reply) => {
      const { query, doer } = request
      const paging = readPaging(query)
      const filter = {
        q: query.q,
        sort: query.sort,
        order: query.order,
        visibility: query.visibility,
        isActive: query.is_active,
        isAdmin: query.is_admin,
        isRestricted: query.is_restricted,
        prohibitLogin: query.is_prohibit_login,
        hasTwoFactor: query.is_2fa_enabled,
      }
      // In Gitea's sense: identity providers have no ids here, and nobody has another name for signing in.
      const isElsewhere = (query.source_id ?? 0) !== 0 || (query.login_name ?? '') !== ''
      const { rows, total } = isElsewhere ? { rows: [], total: 0 } : await accounts.listing.users(filter, paging)
      setPagingHeaders(request, reply, paging, total)
      return rows.map((user) => toUserJson(user, doer, config.baseUrl))
    },
  )

  app.post(
    '/admin/users',
    { ...forAdmins, schema: { summary: 'Make a user', body: CreateUser, response: { 201: UserSchema } } },
    async (request, reply) => {
      requireLocal(request.body.source_id)
      const user = await accounts.createUser(toNewUser(request.body))
      return reply.code(201).send(toUserJson(user, request.doer, config.baseUrl))
    },
  )

  app.patch(
    '/admin/users/:username',
    {
      ...forAdmins,
      schema: { summary: 'Change a user', params: UserParameters, body: EditUser, response: { 200: UserSchema } },
    },
    async (request) => {
      const user = await getUser(request, request.params.username)
      requireLocal(request.body.source_id)
      const changed = await accounts.updateUser(user, toUserChanges(request.body))
      return toUserJson(changed, request.doer, config.baseUrl)
    },
  )

  app.delete(
    '/admin/users/:username',
    {
      ...forAdmins,
      schema: {
        summary: 'Delete a user',
        params: UserParameters,
        querystring: Type.Object({ purge: Type.Optional(Type.Boolean()) }),
      },
    },
    async (request, reply) => {
      const { username } = request.params
      if ((await accounts.find(username))?.kind === 'organization') {
        throw new Unprocessable(`${username} is an organization not a user`)
      }
      const user = await getUser(request, username)
      if (user.id === request.doer.user!.id) throw new Unprocessable('you cannot delete yourself')
      const purgePackages = async () => {
        await packages.removal.removeAllPackages(user, request.doer.user)
        await packages.repositories.removeAll(user)
      }
      await accounts.deleteUser(user, request.query.purge === true ? purgePackages : undefined)
      return reply.code(204).send()
    },
  )
}

function requireLocal(sourceId: number | null | undefined): void {
  if ((sourceId ?? 0) !== 0) throw new Unprocessable(`login source ${sourceId} does not exist`)
}

function toNewUser(input: Type.Static<typeof CreateUser>): NewUser {
  return {
    username: input.username,
    email: input.email,
    password: input.password ?? '',
    // Gitea's default, which surprises scripts: such a user can do nothing over REST.
    mustChangePassword: input.must_change_password ?? true,
    fullName: given(input.full_name),
    isRestricted: given(input.restricted),
    visibility: input.visibility || undefined,
    createdAt: readTime(input.created_at),
  }
}

function toUserChanges(input: Type.Static<typeof EditUser>): UserChanges {
  return {
    password: given(input.password),
    mustChangePassword: given(input.must_change_password),
    isActive: given(input.active),
    isAdmin: given(input.admin),
    prohibitLogin: given(input.prohibit_login),
    isRestricted: given(input.restricted),
    allowCreateOrganization: given(input.allow_create_organization),
    email: given(input.email),
    fullName: given(input.full_name),
    website: given(input.website),
    location: given(input.location),
    description: given(input.description),
    visibility: input.visibility || undefined,
  }
}

function readTime(text: string | null | undefined): number | undefined {
  if (text === null || text === undefined) return undefined
  const time = Date.parse(text)
  if (Number.isNaN(time) || time < 0) throw new Unprocessable('[CreatedAt]: is no time')
  return time
}
