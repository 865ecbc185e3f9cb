import { type Static, Type } from 'typebox'
import type { Doer } from '../auth/doer.ts'
import { Restriction } from '../auth/restriction.ts'
import { Unprocessable } from '../errors.ts'
import { formatTime } from '../json/time.ts'
import type { Services } from '../services.ts'
import { body, given, optional } from './schemas.ts'

const OwnerName = Type.String({ minLength: 1, maxLength: 40 })
const TypeName = Type.String({ pattern: '^[a-z0-9-]{1,32}$' })
const limits = { minItems: 1, maxItems: 50 }

/** `expires_at` and `restrictions` as callers give them. */
export const limitFields = {
  expires_at: optional(Type.String({ maxLength: 64 })),
  restrictions: optional(
    body({
      owners: optional(Type.Array(OwnerName, limits)),
      types: optional(Type.Array(TypeName, limits)),
      packages: optional(
        Type.Array(
          body({ owner: OwnerName, type: TypeName, name: Type.String({ minLength: 1, maxLength: 255 }) }),
          limits,
        ),
      ),
    }),
  ),
}
type LimitFields = Static<ReturnType<typeof Type.Object<typeof limitFields>>>

/** The same fields of an answer. */
export const shownLimitFields = {
  expires_at: Type.Union([Type.String(), Type.Null()]),
  restrictions: Type.Union([
    Type.Object({
      owners: Type.Optional(Type.Array(Type.String())),
      types: Type.Optional(Type.Array(Type.String())),
      packages: Type.Optional(
        Type.Array(Type.Object({ owner: Type.String(), type: Type.String(), name: Type.String() })),
      ),
    }),
    Type.Null(),
  ]),
}

const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)T\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/

/** Reads when a token shall end, in whole seconds; null: not said. Unprocessable unless it is a time to come. */
export function readExpiry({ clock, accessTokens }: Services, fields: LimitFields): number | null {
  const text = given(fields.expires_at)?.toUpperCase()
  if (text === undefined) return null
  const [, year, month, day] = (RFC_3339.exec(text) ?? []).map(Number)
  const time = Math.floor(Date.parse(text) / 1_000) * 1_000
  // Date.parse takes the 30th of February for the 2nd of March.
  if (day === undefined || Number.isNaN(time) || new Date(Date.UTC(year!, month! - 1, day)).getUTCDate() !== day) {
    throw new Unprocessable('[ExpiresAt]: must be a time such as 2030-12-31T00:00:00Z')
  }
  if (time <= clock.now()) throw new Unprocessable('[ExpiresAt]: must be in the future')
  const latest = accessTokens.latestExpiry()
  if (time > latest) throw new Unprocessable(`[ExpiresAt]: must be at ${formatTime(latest)} at the latest`)
  return time
}

/**
 * Reads what a token shall be restricted to; null: not said. Unprocessable for owners that do not exist, as for those of
 * whom the doer may not know (security.md S4; null: he may know everybody); an alias of a mirror is replaced by its name.
 */
export async function readRestriction(
  services: Services,
  doer: Doer | null,
  fields: LimitFields,
): Promise<Restriction | null> {
  const toOwnName = (name: string) => ownName(services, doer, name)
  const asked = given(fields.restrictions)
  if (asked === undefined) return null
  const owners = given(asked.owners)
  const packages = given(asked.packages)
  return new Restriction({
    owners: owners && (await Promise.all(owners.map(toOwnName))),
    types: given(asked.types),
    packages:
      packages && (await Promise.all(packages.map(async (rule) => ({ ...rule, owner: await toOwnName(rule.owner) })))),
  })
}

async function ownName({ accounts, permissions, upstream }: Services, doer: Doer | null, name: string) {
  const owner = (await accounts.find(name)) ?? upstream.ownerCalled(name)
  if (owner === null || (doer !== null && !(await permissions.canSee(doer, owner)))) {
    throw new Unprocessable(`[Restrictions]: the owner ${name} is not known`)
  }
  return owner.lowerName
}
