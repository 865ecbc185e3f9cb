import { createHash } from 'node:crypto'

/** The digests every stored blob has, weakest first. */
export const algorithms = ['md5', 'sha1', 'sha256', 'sha512'] as const
export type Algorithm = (typeof algorithms)[number]

/** One digest; `hex` is lower-case. */
export interface Digest {
  algorithm: Algorithm
  hex: string
}

/** All four digests of the same bytes, lower-case hex. */
export type Digests = Record<Algorithm, string>

const HEX = { sha256: /^[0-9a-f]{64}$/, sha512: /^[0-9a-f]{128}$/ }
const BYTES: Record<Algorithm, number> = { md5: 16, sha1: 20, sha256: 32, sha512: 64 }
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/

/** `sha256:<hex>` or `sha512:<hex>` (OCI image-spec, Digests); null for anything else, upper-case hex included. */
export function parseDigest(text: string): Digest | null {
  const colon = text.indexOf(':')
  const algorithm = text.slice(0, colon)
  if (algorithm !== 'sha256' && algorithm !== 'sha512') return null
  const hex = text.slice(colon + 1)
  return HEX[algorithm].test(hex) ? { algorithm, hex } : null
}

/** The digest that base64 text of exactly its length stands for; null when it is not that. */
export function digestFromBase64(algorithm: Algorithm, base64: string): Digest | null {
  if (base64.length > 100 || !BASE64.test(base64)) return null
  const bytes = Buffer.from(base64, 'base64')
  return bytes.length === BYTES[algorithm] ? { algorithm, hex: bytes.toString('hex') } : null
}

/**
 * The strongest usable digest of a Subresource Integrity string (`sha512-… sha1-…`, options after `?` ignored), the
 * first where several are equally strong; null when none is usable. sha384 and md5 are not.
 */
export function parseIntegrity(sri: string): Digest | null {
  let best: Digest | null = null
  for (const entry of sri.trim().split(/\s+/)) {
    const dash = entry.indexOf('-')
    const algorithm = entry.slice(0, Math.max(0, dash))
    if (algorithm !== 'sha1' && algorithm !== 'sha256' && algorithm !== 'sha512') continue
    if (best !== null && BYTES[algorithm] <= BYTES[best.algorithm]) continue
    best = digestFromBase64(algorithm, entry.slice(dash + 1).split('?', 1)[0] ?? '') ?? best
  }
  return best
}

/** `sha512-<base64>`, as npm's `dist.integrity`. */
export function formatIntegrity(digests: Pick<Digests, 'sha512'>): string {
  return `sha512-${Buffer.from(digests.sha512, 'hex').toString('base64')}`
}

/** All four digests of a small body in memory; it blocks for about 7 ms per MiB. */
export function digestsOf(bytes: Buffer): Digests {
  return { ...slowDigestsOf([bytes]), sha256: createHash('sha256').update(bytes).digest('hex') }
}

/** The digests that are not computed as bytes arrive, of a small body in pieces. */
export function slowDigestsOf(pieces: readonly Buffer[]): Omit<Digests, 'sha256'> {
  const digest = (algorithm: Algorithm) => {
    const hash = createHash(algorithm)
    for (const piece of pieces) hash.update(piece)
    return hash.digest('hex')
  }
  return { md5: digest('md5'), sha1: digest('sha1'), sha512: digest('sha512') }
}
