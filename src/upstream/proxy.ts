import { isIP } from 'node:net'
import { AddressRefused } from '../outbound/address-guard.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

/** The environment, as far as proxies are concerned: `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`, in either case. */
export type ProxyVariables = Readonly<Record<string, string | undefined>>

/** Names that mean this machine, or a cloud's metadata, whoever resolves them. */
const LOCAL_NAME = /(^|\.)(localhost|internal|local|localdomain)$|^metadata$/

/** The proxy that a URL is asked through: the upstream's own, else that of the environment; null: none. */
export function proxyOf(url: URL, wanted: 'environment' | 'none' | URL, variables: ProxyVariables): URL | null {
  if (wanted === 'none') return null
  if (wanted !== 'environment') return wanted
  const read = (name: string) => variables[name.toLowerCase()] || variables[name] || ''
  const proxy = read(url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY')
  if (!URL.canParse(proxy) || isExcepted(url, read('NO_PROXY'))) return null
  return new URL(proxy)
}

/**
 * Behind a proxy nobody here sees the address that a name stands for: literal ones, and names of the proxy's own
 * network, are refused unless the upstream's file allows private networks. Throws AddressRefused.
 */
export function requireNameBehindProxy(url: URL, { privateNetwork, url: upstream }: UpstreamSettings): void {
  const host = url.hostname.replace(/^\[|\]$|\.$/g, '').toLowerCase()
  if (privateNetwork === 'allowed' || (privateNetwork === 'origin' && url.hostname === upstream.hostname)) return
  if (isIP(host) !== 0) throw new AddressRefused(`${host} is an address, and none may be asked for through a proxy`)
  if (!host.includes('.') || LOCAL_NAME.test(host)) {
    throw new AddressRefused(`${host} is a name of a private network, which is not allowed`)
  }
}

/** By NO_PROXY: `*`, or names that end in one of these, each with a port or for all of them. */
function isExcepted(url: URL, list: string): boolean {
  const host = url.hostname.toLowerCase()
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .some((entry) => {
      if (entry === '*') return true
      const [, name = entry, only] = /^(.*[^:\]]):(\d+)$/.exec(entry) ?? []
      const suffix = name.replace(/^\*?\.?/, '')
      return (only === undefined || only === port) && (host === suffix || host.endsWith(`.${suffix}`))
    })
}
