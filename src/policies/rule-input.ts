import { Invalid, Unprocessable } from '../errors.ts'
import type { UpstreamAdapter } from '../upstream/adapter.ts'
import { compilePatterns, type NameMatcher } from '../upstream/name-patterns.ts'
import type { Action, Place, Rule, VersionMatcher } from './rule.ts'
import type { NamedRule } from './rule-set.ts'

/** What the maker of a rule decides. Times in ms, `notAfter` and `expiresAt` since the epoch; 0 and empty: not given. */
export interface RuleInput {
  readonly action: Action
  readonly type: string
  readonly name: string
  readonly versions: string
  readonly minAge: number
  readonly notAfter: number
  readonly untrustedOnly: boolean
  readonly reason: string
  readonly expiresAt: number
}

/** A rule as it is kept. */
export interface RuleRecord extends RuleInput, Place {
  readonly id: number
  readonly author: string
  readonly createdAt: number
  readonly updatedAt: number
}

/** By package type: how upstreams of it speak. */
export type Adapters = ReadonlyMap<string, UpstreamAdapter>

const WILDCARD = /[*?]/

/** Whether the name of a rule must be compared with every name that is asked for. */
export function isPattern({ type, name }: Pick<RuleInput, 'type' | 'name'>, adapters: Adapters): boolean {
  return name === '' || WILDCARD.test(name) || adapters.get(type)?.compilePattern !== undefined
}

/** Throws Unprocessable, `[Field]: reason`, for a rule that could mean nothing, or not what its maker thinks. */
export function checkRule(input: RuleInput, adapters: Adapters): void {
  const { action, type, name, versions, minAge, notAfter } = input
  const require = (isRight: boolean, field: string, reason: string) => {
    if (!isRight) throw new Unprocessable(`[${field}]: ${reason}`)
  }
  require(type === '' || adapters.has(type), 'Type', 'no upstream has packages of this type')
  require(type !== '' || (name === '' && versions === ''), 'Type', 'names and versions are those of a type')
  require(minAge > 0 === (action === 'cooldown'), 'MinAge', 'a cooldown needs one, and nothing else has one')
  require(notAfter > 0 === (action === 'freeze'), 'NotAfter', 'a freeze needs one, and nothing else has one')
  if (action === 'pin') require(name !== '' && versions !== '', 'Versions', 'a pin needs a name and versions')
  if (action === 'allow_only') require(name !== '', 'Name', 'a list needs names')
  attempt('Name', () => compileName(input, adapters))
  attempt('Versions', () => compileVersions(input, adapters))
}

/** A rule ready to be asked; null for one of a type that has gone. */
export function compileRule(record: RuleRecord, adapters: Adapters): NamedRule | null {
  const { name, author, createdAt, versions, reason, ...rest } = record
  if (record.type !== '' && !adapters.has(record.type)) return null
  const matchesName = compileName(record, adapters)
  const rule: Rule = { ...rest, reason, matchesName, matchesVersion: compileVersions(record, adapters) }
  return { rule, exactName: isPattern(record, adapters) ? null : name.toLowerCase() }
}

/** Case does not count: what is denied is so in every spelling (security.md S27). */
function compileName({ type, name }: Pick<RuleInput, 'type' | 'name'>, adapters: Adapters): NameMatcher {
  if (name === '') return () => true
  const adapter = adapters.get(type)
  const matches = compilePatterns([name.toLowerCase()], adapter?.compilePattern?.bind(adapter))
  return (candidate) => matches(candidate.toLowerCase())
}

function compileVersions(
  { type, versions }: Pick<RuleInput, 'type' | 'versions'>,
  adapters: Adapters,
): VersionMatcher | null {
  if (versions === '') return null
  const compile = adapters.get(type)?.compileVersions
  if (compile === undefined) throw new Invalid(`rules cannot tell versions of type ${type} apart`)
  return compile(versions)
}

function attempt(field: string, compile: () => unknown): void {
  try {
    compile()
  } catch (error) {
    if (error instanceof Invalid) throw new Unprocessable(`[${field}]: ${error.message}`)
    throw error
  }
}
