import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { Owner } from '../auth/owner.ts'
import { NotFound, Unprocessable } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import type { QuotaLimits } from '../packages/quota-limits.ts'
import type { Services } from '../services.ts'
import { body, optional } from './schemas.ts'
import { getVisibleAccount, getVisibleOrganization, refusePublicOnly } from './visible-accounts.ts'

const PACKAGES = 'size:assets:packages:all'
/** What Forgejo's API calls a subject; packages count for those that contain them (rest-api.md §9). */
const SUBJECTS: ReadonlyMap<string, boolean> = new Map([
  ...['size:all', 'size:assets:all', PACKAGES].map((subject) => [subject, true] as const),
  ...[
    'none',
    ...['all', 'public', 'private'].map((part) => `size:repos:${part}`),
    ...['all', 'lfs'].map((part) => `size:git:${part}`),
    ...['all', 'issues', 'releases'].map((part) => `size:assets:attachments:${part}`),
    'size:assets:artifacts',
    'size:assets:wiki',
  ].map((subject) => [subject, false] as const),
])
const Bytes = Type.Integer()
const LimitsSchema = Type.Object(
  {
    total_count: Type.Integer({ description: 'Versions of all types; -1: unlimited.' }),
    total_size: Type.Integer({ description: 'Bytes of all files; -1: unlimited.' }),
    type_sizes: Type.Record(Type.String(), Bytes, { description: 'Bytes of one file, by type; -1: unlimited.' }),
  },
  { title: 'QuotaLimits' },
)
const RuleSchema = Type.Object(
  {
    name: Type.Optional(Type.String()),
    limit: Bytes,
    subjects: Type.Array(Type.String()),
  },
  { title: 'QuotaRule' },
)
const QuotaSchema = Type.Object(
  {
    used: Type.Object({
      size: Type.Object({
        repos: Type.Object({ public: Bytes, private: Bytes }),
        git: Type.Object({ LFS: Bytes }),
        assets: Type.Object({
          attachments: Type.Object({ issues: Bytes, releases: Bytes }),
          artifacts: Bytes,
          packages: Type.Object({ all: Bytes }),
        }),
      }),
      count: Type.Object({ packages: Type.Integer({ description: 'Versions.' }) }),
    }),
    groups: Type.Array(Type.Object({ name: Type.Optional(Type.String()), rules: Type.Array(RuleSchema) })),
    limits: LimitsSchema,
  },
  { title: 'QuotaInfo' },
)
const UsedPackageSchema = Type.Object(
  {
    name: Type.String(),
    type: Type.String(),
    version: Type.String(),
    size: Bytes,
    html_url: Type.String(),
  },
  { title: 'QuotaUsedPackage' },
)
const Limit = Type.Integer({ minimum: -1, maximum: Number.MAX_SAFE_INTEGER })
const Overrides = body(
  {
    total_count: optional(Limit),
    total_size: optional(Limit),
    type_sizes: optional(Type.Record(Type.String({ pattern: '^[a-z0-9-]{1,32}$' }), Limit)),
  },
  { title: 'EditQuotaLimitsOption' },
)
const OverridesSchema = Type.Object(
  {
    total_count: Type.Union([Type.Integer(), Type.Null()]),
    total_size: Type.Union([Type.Integer(), Type.Null()]),
    type_sizes: Type.Record(Type.String(), Bytes),
  },
  { title: 'QuotaOverrides' },
)
const forAdmins = { access: 'admin', scope: 'admin' } as const

/** Where somebody's quota is asked for, by whom, and whose it is. */
const places = [
  {
    prefix: '/user/quota',
    config: { access: 'signed-in', scope: 'user' },
    parameters: {},
    findOwner: (request: FastifyRequest) => getVisibleAccount(request, request.doer.user!.name),
  },
  {
    prefix: '/orgs/:org/quota',
    config: { access: 'owner', scope: 'organization' },
    parameters: { org: Type.String() },
    findOwner: (request: FastifyRequest) => getVisibleOrganization(request, (request.params as { org: string }).org),
  },
  { prefix: '/admin/users/:username/quota', config: forAdmins, parameters: { username: Type.String() }, findOwner },
] as const

/** What owners use and may use, in Forgejo's shape with the three limits of ours beside (rest-api.md §9). */
export const quotas: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app
  const { quota } = services.packages

  for (const { prefix, config, parameters, findOwner } of places) {
    const params = Type.Object(parameters)

    app.get(
      prefix,
      { config, schema: { summary: 'Get what is used and what may be', params, response: { 200: QuotaSchema } } },
      async (request) => describe(services, await findOwner(request), config === forAdmins),
    )

    app.get(
      `${prefix}/check`,
      {
        config,
        schema: {
          summary: 'Check whether there is room left',
          params,
          querystring: Type.Object({ subject: Type.String() }),
          response: { 200: Type.Boolean() },
        },
      },
      async (request) => {
        const counts = SUBJECTS.get(request.query.subject)
        if (counts === undefined) throw new Unprocessable(`[Subject]: ${request.query.subject} is not known`)
        const owner = await findOwner(request)
        const { limitTotalOwnerSize: limit } = await quota.limits.of(owner.id)
        return !counts || limit < 0 || (await quota.usage(owner)).size < limit
      },
    )

    app.get(
      `${prefix}/packages`,
      {
        config,
        schema: {
          summary: 'List the versions that use most',
          params,
          querystring: Type.Object(pagingParameters),
          response: { 200: Type.Array(UsedPackageSchema) },
        },
      },
      async (request, reply) => {
        const paging = readPaging(request.query)
        const owner = await findOwner(request)
        const { rows, total } = await quota.largest(owner, paging)
        setPagingHeaders(request, reply, paging, total)
        const url = (parts: string[]) => `${services.config.baseUrl}/${parts.map(encodeURIComponent).join('/')}`
        return rows.map(({ type, name, version, size }) => {
          const path = [owner.name, '-', 'packages', type, name.toLowerCase(), version.toLowerCase()]
          return { name, type, version, size, html_url: url(path) }
        })
      },
    )
  }

  app.get(
    '/admin/users/:username/quota/limits',
    {
      config: forAdmins,
      schema: {
        summary: 'Get the limits that an owner has of his own',
        params: Type.Object({ username: Type.String() }),
        response: { 200: OverridesSchema },
      },
    },
    async (request) => toJson(await quota.limits.overridesOf((await findOwner(request)).id)),
  )

  app.put(
    '/admin/users/:username/quota/limits',
    {
      config: forAdmins,
      schema: {
        summary: 'Set the limits that an owner has of his own',
        params: Type.Object({ username: Type.String() }),
        body: Overrides,
        response: { 200: OverridesSchema },
      },
    },
    async (request) => {
      const { id } = await findOwner(request)
      const { total_count: totalCount, total_size: totalSize, type_sizes: typeSizes } = request.body
      for (const type of Object.keys(typeSizes ?? {})) quota.checkType(type)
      const overrides = { totalCount: totalCount ?? null, totalSize: totalSize ?? null, typeSizes: typeSizes ?? {} }
      await quota.limits.override(id, overrides)
      return toJson(overrides)
    },
  )
}

/** A user or an organization: limits are for both, and Gitea's administrators call both users. */
async function findOwner(request: FastifyRequest): Promise<Owner> {
  const { username } = request.params as { username: string }
  const owner = await request.server.services.accounts.find(username)
  if (owner === null || owner.kind === 'mirror') throw new NotFound('user', username)
  refusePublicOnly(request, owner)
  return owner
}

async function describe(
  { packages: { quota } }: Services,
  owner: Owner,
  showsNames: boolean,
): Promise<Type.Static<typeof QuotaSchema>> {
  const [used, limits] = await Promise.all([quota.usage(owner), quota.limits.of(owner.id)])
  const rule = { limit: limits.limitTotalOwnerSize, subjects: [PACKAGES] }
  const named = (name: string) => (showsNames ? { name } : {})
  return {
    used: {
      size: {
        repos: { public: 0, private: 0 },
        git: { LFS: 0 },
        assets: { attachments: { issues: 0, releases: 0 }, artifacts: 0, packages: { all: used.size } },
      },
      count: { packages: used.count },
    },
    groups: [{ ...named('packages'), rules: [{ ...named('total-size'), ...rule }] }],
    limits: toLimitsJson(limits),
  }
}

function toLimitsJson({ limitTotalOwnerCount, limitTotalOwnerSize, limits }: QuotaLimits) {
  return { total_count: limitTotalOwnerCount, total_size: limitTotalOwnerSize, type_sizes: { ...limits } }
}

function toJson(overrides: { totalCount: number | null; totalSize: number | null; typeSizes: object }) {
  const { totalCount, totalSize, typeSizes } = overrides
  return { total_count: totalCount, total_size: totalSize, type_sizes: { ...typeSizes } as Record<string, number> }
}
