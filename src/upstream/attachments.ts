import type { Owner } from '../auth/owner.ts'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Models } from '../models/index.ts'
import type { UpstreamAdapter } from './adapter.ts'
import { compilePatterns, type NameMatcher } from './name-patterns.ts'
import type { Upstream, Upstreams } from './upstreams.ts'

/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 60_000

/** An upstream that an organization falls through to. */
export interface Attachment {
  readonly upstream: Upstream
  /** Whether its patterns let a name through. */
  readonly accepts: NameMatcher
}

/** What Attachments is built from. */
export interface AttachmentsParts {
  models: Models
  notices: Notices
  upstreams: Upstreams
}

/** The upstreams of organizations, per type. */
export class Attachments {
  readonly #parts: AttachmentsParts
  readonly #rows: Cache<{ upstreamId: number; accepts: NameMatcher }[]>

  constructor(parts: AttachmentsParts) {
    this.#parts = parts
    this.#rows = new Cache({ name: 'attachments', max: 10_000, ttl: NOTICE_LOST }, parts.notices)
  }

  /**
   * In the order in which they are asked: those that are trusted come first wherever they stand, so that what they have
   * is never what strangers published under the same name (pull-through.md §7.4). Throws UpstreamUnavailable when one
   * of them cannot be put to work.
   */
  async of({ id }: Pick<Owner, 'id'>, type: string): Promise<Attachment[]> {
    const rows = await this.#rows.get(`${id}:${type}`, () => this.#read(id, type))
    const attachments = rows.flatMap(({ upstreamId, accepts }) => {
      const upstream = this.#parts.upstreams.findById(upstreamId)
      if (upstream === null) this.#parts.upstreams.requireUsable({ id: upstreamId })
      return upstream === null ? [] : [{ upstream, accepts }]
    })
    return [...attachments.filter(isTrusted), ...attachments.filter((attachment) => !isTrusted(attachment))]
  }

  /** Call after the commit that changed what an organization attaches. */
  changed(orgId: number, type: string): void {
    this.#rows.invalidate(`${orgId}:${type}`)
  }

  async #read(orgId: number, type: string) {
    const rows = await this.#parts.models.upstreamAttachment.findAll({
      where: { orgId, type },
      order: [['position', 'ASC']],
      raw: true,
    })
    const adapter = this.#parts.upstreams.adapters.get(type)
    return rows.map(({ upstreamId, include, exclude }) => ({
      upstreamId,
      accepts: matcher(adapter, JSON.parse(include), JSON.parse(exclude)),
    }))
  }
}

function isTrusted({ upstream }: Attachment): boolean {
  return upstream.settings.trust === 'trusted'
}

/** `exclude` keeps names in, so case does not count there. */
function matcher(adapter: UpstreamAdapter | undefined, include: string[], exclude: string[]): NameMatcher {
  const compile = adapter?.compilePattern?.bind(adapter)
  const isIncluded = include.length === 0 ? () => true : compilePatterns(include, compile)
  const lowerCase = exclude.map((pattern) => pattern.toLowerCase())
  const isExcluded = compilePatterns(lowerCase, compile)
  return (name) => isIncluded(name) && !isExcluded(name.toLowerCase())
}
