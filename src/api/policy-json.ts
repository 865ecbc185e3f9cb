import { Type } from 'typebox'
import { parseDuration } from '../config/units.ts'
import { Unprocessable } from '../errors.ts'
import { formatTime } from '../json/time.ts'
import { ACTIONS, SCOPES } from '../policies/rule.ts'
import type { RuleInput, RuleRecord } from '../policies/rule-input.ts'
import type { Services } from '../services.ts'
import { given, optional, text } from './schemas.ts'
import { formatDuration, readTime } from './times.ts'

/** ms; nothing is held back for longer. */
const LONGEST_AGE = 100 * 365 * 86_400_000

/** What may be changed of a policy; everything is optional. */
export const policyFields = {
  type: optional(Type.String({ pattern: '^[a-z0-9-]{0,32}$' })),
  name: optional(text(255)),
  versions: optional(text(255)),
  min_age: optional(Type.String({ maxLength: 32 })),
  not_after: optional(Type.String({ maxLength: 64 })),
  untrusted_only: optional(Type.Boolean()),
  reason: optional(Type.String({ maxLength: 1_000, pattern: '^[^\\u0000-\\u001f\\u007f]*$' })),
  expires_at: optional(Type.String({ maxLength: 64 })),
}
type PolicyFields = Type.Static<ReturnType<typeof Type.Object<typeof policyFields>>>

export const ActionName = Type.Enum([...ACTIONS])
export const PolicySchema = Type.Object(
  {
    id: Type.Integer(),
    scope: Type.Enum([...SCOPES]),
    upstream: Type.String(),
    organization: Type.String(),
    action: ActionName,
    type: Type.String(),
    name: Type.String(),
    versions: Type.String(),
    min_age: Type.String(),
    not_after: Type.Union([Type.String(), Type.Null()]),
    untrusted_only: Type.Boolean(),
    reason: Type.String(),
    author: Type.String(),
    expires_at: Type.Union([Type.String(), Type.Null()]),
    created_at: Type.String(),
    updated_at: Type.String(),
  },
  { title: 'Policy' },
)

/** Only what was given; an empty time or age takes it away. Throws Unprocessable. */
export function toRuleChanges(fields: PolicyFields): Partial<RuleInput> {
  const changes = {
    type: given(fields.type),
    name: given(fields.name),
    versions: given(fields.versions)?.trim(),
    minAge: readAge(given(fields.min_age)),
    notAfter: readOptionalTime(given(fields.not_after), 'NotAfter'),
    untrustedOnly: given(fields.untrusted_only),
    reason: given(fields.reason),
    expiresAt: readOptionalTime(given(fields.expires_at), 'ExpiresAt'),
  }
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined))
}

/** A policy as callers see it, with the names of where it holds. */
export async function toPolicyJson(
  { accounts, upstream }: Services,
  rule: RuleRecord,
): Promise<Type.Static<typeof PolicySchema>> {
  const { id, scope, scopeId, action, type, name, versions, reason, author } = rule
  const organization = scope === 'organization' ? await accounts.findById(scopeId) : null
  return {
    ...{ id, scope },
    upstream: scope === 'upstream' ? (upstream.findById(scopeId)?.settings.name ?? '') : '',
    organization: organization?.name ?? '',
    ...{ action, type, name, versions },
    min_age: rule.minAge === 0 ? '' : formatDuration(rule.minAge),
    not_after: rule.notAfter === 0 ? null : formatTime(rule.notAfter),
    untrusted_only: rule.untrustedOnly,
    ...{ reason, author },
    expires_at: rule.expiresAt === 0 ? null : formatTime(rule.expiresAt),
    created_at: formatTime(rule.createdAt),
    updated_at: formatTime(rule.updatedAt),
  }
}

function readAge(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return text === '' ? 0 : undefined
  const age = parseDuration(text)
  if (age === null || age > LONGEST_AGE) throw new Unprocessable('[MinAge]: must be a duration such as 72h')
  return age
}

function readOptionalTime(text: string | undefined, field: string): number | undefined {
  if (text === undefined || text === '') return text === '' ? 0 : undefined
  return readTime(text, field)
}
