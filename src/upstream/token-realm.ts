import { getDomain } from 'tldts'
import { UpstreamUnavailable } from '../errors.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

/**
 * The address that a challenge names for tokens, once it is known to belong to the upstream: on its host, or on one of
 * the same registrable domain, or on one that its file lists; by https if the upstream is. Throws UpstreamUnavailable
 * with detail FOREIGN_HOST: whoever may name any address gets the credentials (CVE-2026-33540, CVE-2026-48978).
 */
export function requireOwnRealm(realm: string, { name, url: upstream, auth }: UpstreamSettings): URL {
  const url = URL.canParse(realm) ? new URL(realm) : null
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '') {
    throw new UpstreamUnavailable(`upstream ${name} names no usable address for tokens`)
  }
  if (upstream.protocol === 'https:' && url.protocol !== 'https:') {
    throw new UpstreamUnavailable(`upstream ${name} wants its tokens fetched without https`)
  }
  const isListed = auth?.realmHosts.some((host) => host === url.host || host === url.hostname) === true
  if (isListed || isRelated(url.hostname, upstream.hostname)) return url
  throw new UpstreamUnavailable(
    `upstream ${name} wants its tokens fetched from ${url.host}, which is not among its auth.realmHosts`,
    { detail: 'FOREIGN_HOST' },
  )
}

function isRelated(one: string, other: string): boolean {
  if (one === other) return true
  // Null for addresses, for names of one label, and for suffixes under which anybody may register.
  const domain = getDomain(one, { allowPrivateDomains: true })
  return domain !== null && domain === getDomain(other, { allowPrivateDomains: true })
}
