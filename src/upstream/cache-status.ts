/** How a mirrored answer came about; the member of `Cache-Status` (RFC 9211) that it becomes. */
export interface CacheStatus {
  readonly hit: boolean
  /** Seconds of freshness left; negative when stale. */
  readonly ttl?: number
  /** Why the upstream was asked. */
  readonly fwd?: 'uri-miss' | 'stale' | 'request' | 'bypass'
  readonly fwdStatus?: number
  readonly stored?: boolean
  /** Answered by a fetch that another request had begun. */
  readonly collapsed?: boolean
  readonly detail?: 'SWR' | 'STALE_SLOW' | 'STALE_ERROR' | 'OFFLINE' | 'GONE' | 'BYPASS'
}

/** The headers that tell a client, and whoever debugs, where the answer came from (pull-through.md §11). */
export function cacheHeaders(status: CacheStatus, upstream: string): Record<string, string> {
  const parts = ['Entrepot']
  if (status.hit) parts.push('hit')
  if (status.ttl !== undefined) parts.push(`ttl=${status.ttl}`)
  if (status.fwd !== undefined) parts.push(`fwd=${status.fwd}`)
  if (status.fwdStatus !== undefined) parts.push(`fwd-status=${status.fwdStatus}`)
  if (status.stored === true) parts.push('stored')
  if (status.collapsed === true) parts.push('collapsed')
  if (status.detail !== undefined) parts.push(`detail=${status.detail}`)
  return {
    'cache-status': parts.join('; '),
    'x-cache': summaryOf(status),
    'x-upstream': upstream,
  }
}

function summaryOf({ hit, detail }: CacheStatus): string {
  if (detail?.startsWith('STALE') === true) return 'STALE'
  if (detail === 'BYPASS') return detail
  return hit ? 'HIT' : 'MISS'
}
