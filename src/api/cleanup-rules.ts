import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { NotFound } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { formatTime } from '../json/time.ts'
import type { Removal } from '../packages/cleanup.ts'
import type { CleanupRule, CleanupRuleInput } from '../packages/cleanup-rules.ts'
import { body, given, optional, text } from './schemas.ts'
import { getVisibleAccount, getVisibleOrganization } from './visible-accounts.ts'

const PackageTypeName = Type.String({ pattern: '^[a-z0-9-]{1,32}$' })
const editable = {
  enabled: optional(Type.Boolean()),
  keep_count: optional(Type.Integer({ minimum: 0, maximum: 100_000 })),
  keep_pattern: optional(text(255)),
  remove_days: optional(Type.Integer({ minimum: 0, maximum: 36_500 })),
  remove_pattern: optional(text(255)),
  match_full_name: optional(Type.Boolean()),
}
const EditRule = body(editable, { title: 'EditCleanupRuleOption' })
const CreateRule = body({ type: PackageTypeName, ...editable }, { title: 'CreateCleanupRuleOption' })
const RuleSchema = Type.Object(
  {
    type: Type.String(),
    enabled: Type.Boolean(),
    keep_count: Type.Integer(),
    keep_pattern: Type.String(),
    remove_days: Type.Integer(),
    remove_pattern: Type.String(),
    match_full_name: Type.Boolean(),
    created_at: Type.String(),
    updated_at: Type.String(),
  },
  { title: 'CleanupRule' },
)
const RemovalSchema = Type.Object(
  {
    type: Type.String(),
    name: Type.String(),
    version: Type.String(),
    size: Type.Integer(),
    reason: Type.String(),
  },
  { title: 'CleanupRemoval' },
)

/** Where an owner's rules are, who may see and change them, and whose they are. */
const places = [
  {
    prefix: '/orgs/:org/cleanup-rules',
    access: 'owner',
    scope: 'organization',
    parameters: { org: Type.String() },
    findOwner: (request: FastifyRequest) => getVisibleOrganization(request, (request.params as { org: string }).org),
  },
  {
    prefix: '/users/:username/cleanup-rules',
    access: 'self',
    scope: 'user',
    parameters: { username: Type.String() },
    findOwner: async (request: FastifyRequest) => {
      const account = await getVisibleAccount(request, (request.params as { username: string }).username)
      if (account.kind !== 'user') throw new NotFound('user', account.name)
      return account
    },
  },
] as const

/**
 * Cleanup rules of organizations and users, with the columns of gitea-model.md §1 as fields. What a rule would remove
 * can be asked for before it is made.
 */
export const cleanupRules: FastifyPluginAsyncTypebox = async (app) => {
  const { packages } = app.services
  const { cleanupRules: rules, cleanup } = packages

  for (const { prefix, access, scope, parameters, findOwner } of places) {
    const config = { access, scope }
    const ofOwner = Type.Object(parameters)
    const ofRule = Type.Object({ ...parameters, type: PackageTypeName })
    const one = { response: { 200: RuleSchema } }

    app.get(
      prefix,
      { config, schema: { summary: 'List cleanup rules', params: ofOwner, response: { 200: Type.Array(RuleSchema) } } },
      async (request) => (await rules.list(await findOwner(request))).map(toJson),
    )

    app.post(
      prefix,
      {
        config,
        schema: { summary: 'Make a cleanup rule', params: ofOwner, body: CreateRule, response: { 201: RuleSchema } },
      },
      async (request, reply) => {
        const rule = await rules.create(await findOwner(request), toInput(request.body))
        return reply.code(201).send(toJson(rule))
      },
    )

    app.post(
      `${prefix}/preview`,
      {
        config,
        schema: {
          summary: 'List what a cleanup rule would remove, and why',
          params: ofOwner,
          querystring: Type.Object({
            ...pagingParameters,
            after: Type.Optional(
              Type.Integer({ minimum: 0, description: '`X-Continue-After` of the answer to go on from.' }),
            ),
          }),
          body: CreateRule,
          response: { 200: Type.Array(RemovalSchema) },
        },
      },
      async (request, reply) => {
        const { type, ...policy } = toInput(request.body)
        cleanup.check(type, policy)
        const paging = readPaging(request.query)
        const page: Removal[] = []
        let total = 0
        const preview = cleanup.preview(await findOwner(request), type, policy, request.query.after)
        let step = await preview.next()
        for (; !step.done; step = await preview.next()) {
          if (total >= paging.offset && page.length < paging.limit) page.push(step.value)
          total += 1
        }
        if (step.value !== null) reply.header('x-continue-after', String(step.value))
        setPagingHeaders(request, reply, paging, total)
        return page.map(({ package: { name }, version, size, reason }) => ({ type, name, version, size, reason }))
      },
    )

    app.get(
      `${prefix}/:type`,
      { config, schema: { summary: 'Get the cleanup rule of a package type', params: ofRule, ...one } },
      async (request) => toJson(await rules.get(await findOwner(request), (request.params as { type: string }).type)),
    )

    app.patch(
      `${prefix}/:type`,
      {
        config,
        schema: { summary: 'Change the cleanup rule of a package type', params: ofRule, body: EditRule, ...one },
      },
      async (request) => {
        const { type } = request.params as { type: string }
        return toJson(await rules.update(await findOwner(request), type, toChanges(request.body)))
      },
    )

    app.delete(
      `${prefix}/:type`,
      { config, schema: { summary: 'Delete the cleanup rule of a package type', params: ofRule } },
      async (request, reply) => {
        await rules.delete(await findOwner(request), (request.params as { type: string }).type)
        return reply.code(204).send()
      },
    )
  }
}

function toInput({ type, ...fields }: Type.Static<typeof CreateRule>): CleanupRuleInput {
  const defaults = { enabled: false, keepCount: 0, keepPattern: '', removeDays: 0, removePattern: '' }
  return { type, ...defaults, matchFullName: false, ...toChanges(fields) }
}

/** Only what was given. */
function toChanges(input: Type.Static<typeof EditRule>): Partial<CleanupRuleInput> {
  const changes = {
    enabled: given(input.enabled),
    keepCount: given(input.keep_count),
    keepPattern: given(input.keep_pattern),
    removeDays: given(input.remove_days),
    removePattern: given(input.remove_pattern),
    matchFullName: given(input.match_full_name),
  }
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
}

function toJson(rule: CleanupRule): Type.Static<typeof RuleSchema> {
  return {
    type: rule.type,
    enabled: rule.enabled,
    keep_count: rule.keepCount,
    keep_pattern: rule.keepPattern,
    remove_days: rule.removeDays,
    remove_pattern: rule.removePattern,
    match_full_name: rule.matchFullName,
    created_at: formatTime(rule.createdAt),
    updated_at: formatTime(rule.updatedAt),
  }
}
