import ipaddr from 'ipaddr.js'

/** Bits of an IPv6 address that tell one customer from the next; he draws the rest as he likes. */
const PREFIX = 64
/** What is no address is cut here. */
const LONGEST = 64

/**
 * Whom an address stands for where clients are counted: an IPv4 address itself, also in its IPv6 form; of an IPv6
 * address the /64. A port, which some proxies write into X-Forwarded-For, does not matter.
 */
export function networkOf(address: string): string {
  const bare = address
    .replace(/^(\d+\.\d+\.\d+\.\d+):\d+$/, '$1')
    .replace(/^\[(.*)\](:\d+)?$/, '$1')
    .replace(/%.*$/, '')
  if (!ipaddr.isValid(bare)) return address.slice(0, LONGEST)
  const parsed = ipaddr.process(bare)
  if (parsed.kind() === 'ipv4') return parsed.toString()
  const parts = (parsed as ipaddr.IPv6).parts.slice(0, PREFIX / 16)
  return `${new ipaddr.IPv6([...parts, 0, 0, 0, 0]).toString()}/${PREFIX}`
}
