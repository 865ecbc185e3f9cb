import { DigestMismatch, Invalid } from '../../errors.ts'
import { type Algorithm, type Digest, type Digests, digestFromBase64 } from '../../storage/digest.ts'

const ALGORITHMS: ReadonlyMap<string, Algorithm> = new Map([
  ['sha-256', 'sha256'],
  ['sha-512', 'sha512'],
  ['sha', 'sha1'],
  ['md5', 'md5'],
])

/**
 * The digests that an upload promises in `Content-Digest` (RFC 9530: `sha-256=:…:`) and its older form `Digest` (RFC
 * 3230: `SHA-256=…`). Algorithms that we do not compute are left out; Invalid for a value that is none.
 */
export function promisedDigests(contentDigest: string | undefined, digest: string | undefined): Digest[] {
  return [...entries(contentDigest, /^:(.*):$/), ...entries(digest, /^(.*)$/)]
}

/** Throws DigestMismatch unless all promises are kept. */
export function checkDigests(promised: readonly Digest[], actual: Digests): void {
  for (const { algorithm, hex } of promised) {
    if (actual[algorithm] !== hex)
      throw new DigestMismatch(`the ${algorithm} of the body is ${actual[algorithm]}`, 'body')
  }
}

/** The `Repr-Digest` of a blob (RFC 9530). */
export function reprDigest(sha256: string): string {
  return `sha-256=:${Buffer.from(sha256, 'hex').toString('base64')}:`
}

function entries(header: string | undefined, form: RegExp): Digest[] {
  const digests: Digest[] = []
  for (const entry of header?.split(',') ?? []) {
    const equals = entry.indexOf('=')
    const algorithm = ALGORITHMS.get(entry.slice(0, Math.max(0, equals)).trim().toLowerCase())
    if (algorithm === undefined) continue
    const value = form.exec(entry.slice(equals + 1).trim())?.[1]
    const digest = value === undefined ? null : digestFromBase64(algorithm, value)
    if (digest === null) throw new Invalid('a digest header cannot be read', 'body')
    digests.push(digest)
  }
  return digests
}
