import { Unprocessable } from '../errors.ts'

/** Packages of one owner and type whose names fit a pattern, in which `*` is any text, slashes included. */
export interface PackagePattern {
  readonly owner: string
  readonly type: string
  readonly name: string
}

/** What a token may be limited to; all lists that are given must hold. Absent: no limit of that kind. */
export interface RestrictionLists {
  readonly owners?: readonly string[] | undefined
  readonly types?: readonly string[] | undefined
  readonly packages?: readonly PackagePattern[] | undefined
}

/** Packages of one owner: of a type (null: any) with names that fit a pattern (null: any). */
export interface NameRule {
  readonly type: string | null
  readonly pattern: string | null
}

/** Letters of package names and `*`; no other wildcard. */
const PATTERN = /^[\w@/.:+~*-]{1,255}$/
const MAX_STARS = 3

/**
 * The packages that an access token is limited to, whatever its user may do; immutable. Case counts nowhere: owners and
 * patterns are kept in lower case. Owners are called by their own names, not by aliases.
 */
export class Restriction {
  readonly #owners: readonly string[] | null
  readonly #types: readonly string[] | null
  readonly #packages: readonly PackagePattern[] | null

  /** Throws Unprocessable when no list is given, one is empty, or a pattern is none. */
  constructor({ owners, types, packages }: RestrictionLists) {
    const given = [owners, types, packages].filter((list) => list !== undefined)
    if (given.length === 0 || given.some((list) => list.length === 0)) {
      throw new Unprocessable('[Restrictions]: name owners, types or packages', 'token')
    }
    this.#owners = owners === undefined ? null : distinct(owners.map((owner) => owner.toLowerCase()))
    this.#types = types === undefined ? null : distinct(types)
    this.#packages = packages?.map(toLowerCase) ?? null
    for (const { name } of this.#packages ?? []) checkPattern(name)
  }

  /** What it leaves of one owner's packages, by his lower-case name: what any of the rules means; null: everything. */
  of(owner: string): readonly NameRule[] | null {
    if (this.#owners !== null && !this.#owners.includes(owner)) return []
    if (this.#packages === null) return this.#types?.map((type) => ({ type, pattern: null })) ?? null
    return this.#packages
      .filter((rule) => rule.owner === owner && (this.#types === null || this.#types.includes(rule.type)))
      .map(({ type, name }) => ({ type, pattern: name }))
  }

  /** Whether it leaves this package. */
  allows(owner: string, type: string, name: string): boolean {
    const rules = this.of(owner)
    const lowerName = name.toLowerCase()
    return rules === null || rules.some((rule) => isOfType(rule, type) && fits(rule.pattern, lowerName))
  }

  /** Whether it leaves everything that the owner has of a type. */
  allowsAll(owner: string, type: string): boolean {
    const rules = this.of(owner)
    return rules === null || rules.some((rule) => rule.pattern === null && isOfType(rule, type))
  }

  /** Whether it leaves anything of the owner, of that type if one is given. */
  allowsSome(owner: string, type: string | null): boolean {
    const rules = this.of(owner)
    return rules === null || rules.some((rule) => type === null || isOfType(rule, type))
  }

  /** Whether it leaves anything of a type, of whatever owner. */
  allowsType(type: string): boolean {
    if (this.#types !== null && !this.#types.includes(type)) return false
    return this.#packages === null || this.#packages.some((rule) => rule.type === type)
  }

  /**
   * Whether whatever this one leaves the other leaves too. May say no where a closer look would say yes: between lists
   * of different kinds.
   */
  isWithin(other: Restriction): boolean {
    const packages = this.#packages
    const owners = this.#owners ?? packages?.map(({ owner }) => owner) ?? null
    const types = this.#types ?? packages?.map(({ type }) => type) ?? null
    return (
      isSubset(owners, other.#owners) &&
      isSubset(types, other.#types) &&
      (other.#packages === null || (packages?.every((rule) => isCovered(rule, other.#packages!)) ?? false))
    )
  }

  /** What it was made from, in normal form. */
  toLists(): { owners?: string[]; types?: string[]; packages?: PackagePattern[] } {
    return {
      ...(this.#owners === null ? {} : { owners: [...this.#owners] }),
      ...(this.#types === null ? {} : { types: [...this.#types] }),
      ...(this.#packages === null ? {} : { packages: [...this.#packages] }),
    }
  }
}

function checkPattern(pattern: string): void {
  if (!PATTERN.test(pattern) || pattern.split('*').length - 1 > MAX_STARS) {
    const rule = `1 to 255 characters of package names, among them at most ${MAX_STARS} *`
    const shown = JSON.stringify(pattern.slice(0, 255))
    throw new Unprocessable(`[Restrictions]: ${shown} is no pattern of names: it has ${rule}`, 'token')
  }
}

function toLowerCase({ owner, type, name }: PackagePattern): PackagePattern {
  return { owner: owner.toLowerCase(), type, name: name.toLowerCase() }
}

function distinct(list: readonly string[]): string[] {
  return [...new Set(list)]
}

function isOfType(rule: NameRule, type: string): boolean {
  return rule.type === null || rule.type === type
}

/**
 * Whether a text fits a pattern, in which `*` is any text; null: anything does. Each star takes as little as it can, which
 * leaves most to the next.
 */
export function fits(pattern: string | null, name: string): boolean {
  if (pattern === null) return true
  const [first = '', ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return name === pattern
  const end = name.length - last.length
  if (end < first.length || !name.startsWith(first) || !name.endsWith(last)) return false
  let from = first.length
  for (const part of rest) {
    const at = name.indexOf(part, from)
    if (at === -1 || at + part.length > end) return false
    from = at + part.length
  }
  return true
}

/** A star of the rule is a character that only a star takes: what fits the rule then fits what the rule itself fits. */
function isCovered(rule: PackagePattern, others: readonly PackagePattern[]): boolean {
  return others.some(({ owner, type, name }) => rule.owner === owner && rule.type === type && fits(name, rule.name))
}

function isSubset(list: readonly string[] | null, of: readonly string[] | null): boolean {
  return of === null || (list?.every((item) => of.includes(item)) ?? false)
}
