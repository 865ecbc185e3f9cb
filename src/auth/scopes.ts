import { Invalid } from '../errors.ts'

/** What a scope speaks of; a route declares the ones it needs. */
export type ScopeCategory =
  | 'activitypub'
  | 'admin'
  | 'misc'
  | 'notification'
  | 'organization'
  | 'issue'
  | 'package'
  | 'repository'
  | 'user'

const categories: readonly ScopeCategory[] = [
  'activitypub',
  'admin',
  'misc',
  'notification',
  'organization',
  'package',
  'issue',
  'repository',
  'user',
]

const NONE = 0
const READ = 1
const WRITE = 2

/** The rights of one access token, immutable and in normal form (gitea-model.md §10, rest-api.md §5). */
export class Scopes {
  static readonly #known = new Map<string, Scopes>()
  /** The token reaches public owners only. */
  readonly publicOnly: boolean
  readonly #levels: ReadonlyMap<ScopeCategory, number>

  private constructor(publicOnly: boolean, levels: ReadonlyMap<ScopeCategory, number>) {
    this.publicOnly = publicOnly
    this.#levels = levels
  }

  /** Reads scopes as a caller wrote them; Invalid when one is unknown or none is given. */
  static parse(list: readonly string[]): Scopes {
    const names = list
      .flatMap((item) => item.split(','))
      .map((name) => name.trim())
      .filter((name) => name !== '')
    if (names.length === 0) throw new Invalid('access token must have a scope', 'token')
    const levels = new Map<ScopeCategory, number>()
    let publicOnly = false
    for (const name of names) {
      if (name === 'public-only') publicOnly = true
      else if (name === 'all') for (const category of categories) levels.set(category, WRITE)
      else addScope(levels, name)
    }
    return new Scopes(publicOnly, levels)
  }

  /** Reads what `toStored` wrote; the same text is read once. */
  static fromStored(text: string): Scopes {
    const known = Scopes.#known.get(text)
    if (known !== undefined) return known
    const scopes = Scopes.parse([text])
    if (Scopes.#known.size < 1_000) Scopes.#known.set(text, scopes)
    return scopes
  }

  /** Writing implies reading. */
  allows(category: ScopeCategory, mode: 'read' | 'write'): boolean {
    return (this.#levels.get(category) ?? NONE) >= (mode === 'read' ? READ : WRITE)
  }

  /** Whether every right of this one is also a right of `other`: no token may beget a stronger one (security.md S8). */
  isSubsetOf(other: Scopes): boolean {
    if (other.publicOnly && !this.publicOnly) return false
    return [...this.#levels].every(([category, level]) => level <= (other.#levels.get(category) ?? NONE))
  }

  /** The same rights, on public owners only. */
  restrictToPublic(): Scopes {
    return new Scopes(true, this.#levels)
  }

  /** Normal form: implied scopes left out, all nine write scopes written as `all`. */
  toList(): string[] {
    const list = this.publicOnly ? ['public-only'] : []
    if (categories.every((category) => this.allows(category, 'write'))) return [...list, 'all']
    for (const category of categories) {
      const level = this.#levels.get(category)
      if (level !== undefined) list.push(`${level === WRITE ? 'write' : 'read'}:${category}`)
    }
    return list
  }

  /** The normal form, comma-joined; at most 144 characters. */
  toStored(): string {
    return this.toList().join(',')
  }
}

function addScope(levels: Map<ScopeCategory, number>, name: string): void {
  const [mode, category, ...rest] = name.split(':')
  const known = categories.find((candidate) => candidate === category)
  if (known === undefined || rest.length > 0 || (mode !== 'read' && mode !== 'write')) {
    throw new Invalid(`invalid access token scope: ${name}`, 'token')
  }
  levels.set(known, Math.max(levels.get(known) ?? NONE, mode === 'read' ? READ : WRITE))
}
