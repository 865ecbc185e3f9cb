import type { Owner } from '../auth/owner.ts'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import { type Config, ConfigError } from '../config/config.ts'
import { Invalid } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { UpstreamAdapter } from './adapter.ts'
import { compilePatterns, type NameMatcher } from './name-patterns.ts'

/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 60_000

/** What ReservedNames is built from. */
export interface ReservedNamesParts {
  models: Models
  notices: Notices
  config: Config
}

/**
 * Names that no upstream is ever asked for (pull-through.md §7.1): those of the site, `mirrors.reserved`, hold
 * everywhere; those of an organization at its own address. Case does not count: `Com.Acme` is as secret as `com.acme`.
 */
export class ReservedNames {
  readonly #parts: ReservedNamesParts
  readonly #ofOrganizations: Cache<NameMatcher>
  readonly #ofSite = new Map<string, NameMatcher>()
  #adapters: ReadonlyMap<string, UpstreamAdapter> = new Map()

  constructor(parts: ReservedNamesParts) {
    this.#parts = parts
    this.#ofOrganizations = new Cache({ name: 'reserved-names', max: 10_000, ttl: NOTICE_LOST }, parts.notices)
  }

  /** Reads the patterns of the site; to be called once. Throws ConfigError for what is none, or of no mirrored type. */
  declare(adapters: ReadonlyMap<string, UpstreamAdapter>): void {
    this.#adapters = adapters
    for (const [type, patterns] of Object.entries(this.#parts.config.mirrors.reserved)) {
      try {
        this.#ofSite.set(type, this.compile(type, patterns))
      } catch (error) {
        if (error instanceof Invalid) throw new ConfigError(`mirrors.reserved.${type}: ${error.message}`)
        throw error
      }
    }
  }

  /** The types that the site reserves names of. */
  get typesOfSite(): string[] {
    return [...this.#ofSite.keys()]
  }

  /** What the patterns of a type mean, whatever the case. Throws Invalid. */
  compile(type: string, patterns: readonly string[]): NameMatcher {
    const adapter = this.#adapters.get(type)
    if (adapter === undefined) throw new Invalid(`no upstream has packages of type ${type}`, 'name')
    const lowerCase = patterns.map((pattern) => pattern.toLowerCase())
    const matches = compilePatterns(lowerCase, adapter.compilePattern?.bind(adapter))
    return (name) => matches(name.toLowerCase())
  }

  /** Whether no upstream of any owner may hear of the name. */
  bySite(type: string, name: string): boolean {
    return this.#ofSite.get(type)?.(name) ?? false
  }

  /** What no upstream may hear of from this owner: the site's patterns and, of an organization, its own. */
  async of(owner: Pick<Owner, 'id' | 'kind'>, type: string): Promise<NameMatcher> {
    if (owner.kind !== 'organization') return (name) => this.bySite(type, name)
    const matches = await this.#ofOrganizations.get(`${owner.id}:${type}`, async () => {
      const where = { orgId: owner.id, type }
      const rows = await this.#parts.models.reservedName.findAll({ where, attributes: ['pattern'], raw: true })
      if (rows.length === 0) return () => false
      const patterns = rows.map(({ pattern }) => pattern)
      return this.compile(type, patterns)
    })
    return (name) => this.bySite(type, name) || matches(name)
  }

  /** Call after the commit that changed what an organization reserves. */
  changed(orgId: number, type: string): void {
    this.#ofOrganizations.invalidate(`${orgId}:${type}`)
  }
}
