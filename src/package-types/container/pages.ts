import { Invalid } from '../../errors.ts'
import type { Page } from './source.ts'

/** Reads `n` and `last` of a list of names. Throws Invalid('paging') (container.md §6). */
export function readPage(query: object): Page {
  const { n } = query as { n?: unknown }
  if (n !== undefined && (typeof n !== 'string' || !/^\d+$/.test(n))) {
    throw new Invalid('n must be a number that is not negative', 'paging')
  }
  return { n: n === undefined ? null : Number(n), last: readLast(query) }
}

/** Reads `last` alone. Throws Invalid('paging'). */
export function readLast(query: object): string | null {
  const { last } = query as { last?: unknown }
  if (last !== undefined && typeof last !== 'string') throw new Invalid('last must be given once', 'paging')
  return last || null
}

/**
 * The `Link` to the page after the entry `last`: the same path and query with another `last` (RFC 5988). Relative, as
 * clients behind proxies want it.
 */
export function nextPage(path: string, query: object, last: string): { link: string } {
  const parameters = new URLSearchParams()
  for (const [name, value] of Object.entries(query)) {
    for (const one of [value].flat()) if (name !== 'last') parameters.append(name, String(one))
  }
  parameters.append('last', last)
  return { link: `<${path}?${parameters.toString()}>; rel="next"` }
}
