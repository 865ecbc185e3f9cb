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
  /** SWR, STALE_SLOW, STALE_ERROR, NEGATIVE, OFFLINE, GONE, BYPASS; of failures also what UpstreamUnavailable has. */
  readonly detail?: string
  /** Seconds since the upstream last confirmed what is served from the cache. */
  readonly age?: number
}
