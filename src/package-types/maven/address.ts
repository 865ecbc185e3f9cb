import { type ParsedPath, packageName, parsePath } from './coordinates.ts'

/** What is needed of a request to know what it is about. */
export interface Addressed {
  /** As it came over the wire. */
  readonly url: string
  readonly params: unknown
  readonly routeOptions: { readonly url?: string | undefined }
}

const paths = new WeakMap<object, ParsedPath | null>()

/** What a request is about, parsed once, so that guard and handler mean the same; null: no path of a repository. */
export function pathOf(request: Addressed): ParsedPath | null {
  const known = paths.get(request)
  if (known !== undefined) return known
  const path = parsePath(belowPrefix(request))
  paths.set(request, path)
  return path
}

/** Owner and package of a request; see `PackageType.parseTarget`. */
export function parseTarget(request: Addressed): { owner: string; name: string | null } {
  const { owner } = request.params as { owner: string }
  const parsed = pathOf(request)
  return { owner, name: parsed === null ? null : (packageName(parsed.path)?.toLowerCase() ?? null) }
}

/**
 * The path below the prefix, still encoded: the router decodes its wildcard, after which `a%2fb` would be two segments.
 * The prefix itself may be encoded, or follow a host (RFC 9112 §3.2.2), so that its segments are counted.
 */
function belowPrefix({ url, routeOptions }: Addressed): string {
  const path = url.replace(/^https?:\/\/[^/?#]*/i, '').split(/[?#]/, 1)[0]!
  const depth = (routeOptions.url ?? '').split('/').indexOf('*')
  return depth === -1 ? '' : path.split('/').slice(depth).join('/')
}
