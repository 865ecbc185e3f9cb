import ipaddr from 'ipaddr.js'
import { ConfigError } from '../config/config.ts'

/** Whether a host may be called although this address of it is private. */
export type AllowsPrivate = (host: string, address: string) => boolean

const NAME = /^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/

/**
 * Reads `webhooks.allowedHosts`, or another setting of the kind: names, `*.name` for all below it, addresses, CIDR
 * ranges. Throws ConfigError.
 */
export function parseAllowedHosts(entries: readonly string[], setting = 'webhooks.allowedHosts'): AllowsPrivate {
  const names = new Set<string>()
  const endings: string[] = []
  const ranges: [ipaddr.IPv4 | ipaddr.IPv6, number][] = []
  for (const entry of entries) {
    const text = entry.toLowerCase()
    if (ipaddr.isValidCIDR(text)) ranges.push(ipaddr.parseCIDR(text))
    else if (ipaddr.isValid(text)) ranges.push(wholeOf(ipaddr.process(text)))
    else if (!NAME.test(text)) throw new ConfigError(`${setting}: ${entry} is no host, address or range`)
    else if (text.startsWith('*.')) endings.push(text.slice(1))
    else names.add(text)
  }
  return (host, text) => {
    if (names.has(host) || endings.some((ending) => host.endsWith(ending))) return true
    const bare = text.replace(/%.*$/, '')
    if (!ipaddr.isValid(bare)) return false
    const address = ipaddr.process(bare)
    return ranges.some(([range, bits]) => range.kind() === address.kind() && address.match([range, bits] as never))
  }
}

function wholeOf(address: ipaddr.IPv4 | ipaddr.IPv6): [ipaddr.IPv4 | ipaddr.IPv6, number] {
  return [address, address.kind() === 'ipv4' ? 32 : 128]
}
