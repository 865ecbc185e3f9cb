import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from 'node:dns'
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

const PRIVATE = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/4',
  '240.0.0.0/4',
  '::/127',
  'fc00::/7',
  'fe80::/10',
  'fec0::/10',
  'ff00::/8',
].map((range) => ipaddr.parseCIDR(range))

// Also those that hand out credentials to containers, and Azure's, whose address is a public one.
const METADATA = new Set([
  '169.254.169.254',
  '169.254.170.2',
  '169.254.170.23',
  '168.63.129.16',
  '100.100.100.200',
  '192.0.0.192',
  'fd00:ec2::254',
  'fd00:ec2::23',
  'fd20:ce::254',
])

/** What an address is to the guard: `metadata` of a cloud is refused always, `private` unless allowed. */
export type AddressKind = 'public' | 'private' | 'metadata'

/** Classifies a literal IP address, looking through the IPv6 forms that carry an IPv4 one (security.md S40). */
export function classifyAddress(text: string): AddressKind {
  const address = unwrap(ipaddr.parse(text.replace(/%.*$/, '')))
  if (METADATA.has(address.toString())) return 'metadata'
  const isPrivate = PRIVATE.some(
    ([range, bits]) => range.kind() === address.kind() && address.match([range, bits] as never),
  )
  return isPrivate ? 'private' : 'public'
}

/** IPv4-mapped, IPv4-compatible, NAT64 and 6to4 addresses → the IPv4 address that is really contacted. */
function unwrap(address: ipaddr.IPv4 | ipaddr.IPv6): ipaddr.IPv4 | ipaddr.IPv6 {
  if (address.kind() === 'ipv4') return address
  const v6 = address as ipaddr.IPv6
  const bytes = v6.toByteArray()
  const carriesAtEnd =
    v6.isIPv4MappedAddress() ||
    v6.match(ipaddr.parseCIDR('64:ff9b::/96') as [ipaddr.IPv6, number]) ||
    v6.match(ipaddr.parseCIDR('64:ff9b:1::/48') as [ipaddr.IPv6, number]) ||
    (bytes.slice(0, 12).every((byte) => byte === 0) && bytes.slice(12, 15).some((byte) => byte !== 0))
  if (carriesAtEnd) return new ipaddr.IPv4(bytes.slice(12))
  if (v6.match(ipaddr.parseCIDR('2002::/16') as [ipaddr.IPv6, number])) return new ipaddr.IPv4(bytes.slice(2, 6))
  return v6
}

/** An address that must not be contacted; it is met at connect time, on the address really used. */
export class AddressRefused extends Error {
  readonly code = 'ADDRESS_REFUSED'
}

type Callback = (error: Error | null, address: string | LookupAddress[], family?: number) => void

/** Decides which hosts and addresses may be contacted (pull-through.md §6.5, security.md S40). */
export class AddressGuard {
  readonly #allowsPrivate: (host: string, address: string) => boolean

  /**
   * `allowsPrivate` says for a host name, lower-case and without brackets, and one of its addresses, which is private,
   * whether it is allowed.
   */
  constructor(allowsPrivate: (host: string, address: string) => boolean) {
    this.#allowsPrivate = allowsPrivate
  }

  /** Throws AddressRefused for a URL whose host is a literal address that is closed: sockets skip the look-up for these. */
  checkUrl(url: URL): void {
    const host = url.hostname.replace(/^\[|\]$/g, '')
    if (isIP(host) !== 0) this.#check(host, host)
  }

  /** `lookup` for sockets: resolves once, refuses if any answer is closed, and hands on just the checked addresses. */
  readonly lookup = (host: string, options: LookupOptions, callback: Callback): void => {
    dnsLookup(host, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, [])
      try {
        for (const { address } of addresses) this.#check(host, address)
      } catch (refusal) {
        return callback(refusal as Error, [])
      }
      if (options.all === true) callback(null, addresses)
      else callback(null, addresses[0]!.address, addresses[0]!.family)
    })
  }

  #check(host: string, address: string): void {
    const kind = classifyAddress(address)
    if (kind === 'public' || (kind === 'private' && this.#allowsPrivate(host.toLowerCase(), address))) return
    throw new AddressRefused(
      `${host} is on a ${kind === 'private' ? 'private network' : 'metadata address'}, which is not allowed`,
    )
  }
}
