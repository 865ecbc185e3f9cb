import type { Algorithm } from '../../storage/digest.ts'

const HEX_DIGITS: Record<Algorithm, number> = { md5: 32, sha1: 40, sha256: 64, sha512: 128 }

/**
 * The digest in a checksum file, lower-case hex: the first run of hex digits of its length, since `hash  filename`,
 * `SHA1(filename)= hash`, upper case and newlines all occur (maven.md §6). Null when there is none.
 */
export function parseChecksum(text: string, algorithm: Algorithm): string | null {
  const digits = HEX_DIGITS[algorithm]
  const runs = text.matchAll(/(?<![0-9a-z])[0-9a-f]+(?![0-9a-z])/gi)
  for (const [run] of runs) if (run.length === digits) return run.toLowerCase()
  return null
}
