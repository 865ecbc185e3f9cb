import { Unprocessable } from '../errors.ts'
import type { AccessName } from '../models/access-name.ts'

/** What a team may have rights in, in the order in which it is shown; only `repo.packages` has a meaning here. */
export const unitKeys = [
  'repo.code',
  'repo.issues',
  'repo.ext_issues',
  'repo.pulls',
  'repo.releases',
  'repo.wiki',
  'repo.ext_wiki',
  'repo.projects',
  'repo.packages',
  'repo.actions',
] as const

/** One of `unitKeys`. */
export type UnitKey = (typeof unitKeys)[number]

/** Mode by unit; what is missing is none. */
export type UnitModes = Readonly<Partial<Record<UnitKey, AccessName>>>

/** What a team may do. */
export interface TeamRights {
  readonly permission: AccessName
  readonly units: UnitModes
}

/** The rights that a caller asks for; undefined or empty: as they are. */
export interface WantedRights {
  readonly permission?: 'none' | 'read' | 'write' | 'admin' | undefined
  /** Each with `read` or `write` of `permission`; otherwise with nothing. */
  readonly units?: readonly UnitKey[] | undefined
  /** Wins over `units`. */
  readonly unitsMap?: UnitModes | undefined
}

/** All units of a team that administers or owns: external trackers and wikis are elsewhere and can only be read. */
export function allUnits(mode: 'admin' | 'owner'): UnitModes {
  return Object.fromEntries(unitKeys.map((key) => [key, key.startsWith('repo.ext_') ? 'read' : mode]))
}

/**
 * The rights of a team after a change (rest-api.md §7): of permissions only `admin` is kept, with all units; less is a
 * matter of units. Unprocessable for a team that would be left without any, and for units of an admin team that is not
 * said to become less: they would have no effect.
 */
export function changeRights(before: TeamRights, { permission, units = [], unitsMap = {} }: WantedRights): TeamRights {
  const mapped = unitKeys.filter((key) => unitsMap[key] !== undefined)
  const listed = unitKeys.filter((key) => units.includes(key))
  const hasUnits = mapped.length > 0 || listed.length > 0
  if (permission === 'admin') return { permission, units: {} }
  if (permission === undefined && before.permission === 'admin') {
    if (hasUnits) throw new Unprocessable('[Permission]: an admin team has all units, give it a lower permission')
    return before
  }
  const kept = permission === undefined ? before.permission : 'none'
  const mode = permission === 'read' || permission === 'write' ? permission : 'none'
  if (mapped.length > 0) return { permission: kept, units: pick(mapped, (key) => unitsMap[key]!) }
  if (listed.length > 0) return { permission: kept, units: pick(listed, () => mode) }
  if (Object.keys(before.units).length === 0) throw new Unprocessable('[Units]: units permission should not be empty')
  return { permission: kept, units: before.units }
}

function pick(keys: readonly UnitKey[], modeOf: (key: UnitKey) => AccessName): UnitModes {
  return Object.fromEntries(keys.map((key) => [key, modeOf(key)]))
}
