import type { IncomingHttpHeaders } from 'node:http'
import type { DocumentOptions } from '../upstream/documents.ts'

const NONE: DocumentOptions = {}

/**
 * What a client's Cache-Control asks of a mirror: `no-cache` to ask the upstream, `only-if-cached` not to. `max-age=0` is
 * ignored: pip sends it with every request (pull-through.md §3.1).
 */
export function cacheWishesOf({ 'cache-control': header }: IncomingHttpHeaders): DocumentOptions {
  if (header === undefined) return NONE
  const directives = header
    .toLowerCase()
    .split(',')
    .map((directive) => directive.trim())
  if (directives.includes('only-if-cached')) return { onlyIfCached: true }
  return directives.includes('no-cache') ? { revalidate: true } : NONE
}
