import { Invalid, NotFound } from '../../errors.ts'
import { type Digest, parseDigest } from '../../storage/digest.ts'

const COMPONENT = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*'
const NAME = new RegExp(`^${COMPONENT}(?:/${COMPONENT})*$`)
const TAG = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/
/** Characters of a whole name, owner included; database and clients end there. */
const MAX_NAME = 255

/** A tag, or the digest of a manifest. */
export type Reference = { readonly tag: string } | { readonly digest: Digest }

/** What a path below `/v2/` is about, besides the repository. */
export type Resource =
  | { readonly kind: 'manifest'; readonly reference: string }
  | { readonly kind: 'blob'; readonly digest: string }
  /** Where uploads start. */
  | { readonly kind: 'uploads' }
  | { readonly kind: 'upload'; readonly id: string }
  | { readonly kind: 'tags' }
  | { readonly kind: 'referrers'; readonly digest: string }

/** A path split in two; neither half is checked. */
export interface RegistryPath {
  readonly repository: string
  readonly resource: Resource
}

const RESOURCES: readonly [pattern: RegExp, make: (last: string) => Resource][] = [
  [/^(.+)\/blobs\/uploads\/?()$/s, () => ({ kind: 'uploads' })],
  [/^(.+)\/blobs\/uploads\/([^/]+)\/?$/s, (id) => ({ kind: 'upload', id })],
  [/^(.+)\/blobs\/([^/]+)$/s, (digest) => ({ kind: 'blob', digest })],
  [/^(.+)\/manifests\/([^/]+)$/s, (reference) => ({ kind: 'manifest', reference })],
  [/^(.+)\/tags\/(list)\/?$/s, () => ({ kind: 'tags' })],
  [/^(.+)\/referrers\/([^/]+)$/s, (digest) => ({ kind: 'referrers', digest })],
]

/**
 * Splits a decoded path below `/v2/` at its last keyword, since names may have components such as `blobs`
 * (container.md §1); null when it is none of the registry's.
 */
export function parseRegistryPath(path: string): RegistryPath | null {
  for (const [pattern, make] of RESOURCES) {
    const match = pattern.exec(path)
    if (match !== null) return { repository: match[1]!, resource: make(match[2]!) }
  }
  return null
}

/** By the OCI distribution-spec, Pulling manifests. */
export function isRepositoryName(name: string): boolean {
  return name.length <= MAX_NAME && NAME.test(name)
}

/** Throws Invalid('name') unless it is a repository name. */
export function checkRepositoryName(name: string): void {
  if (!isRepositoryName(name)) throw new Invalid(`invalid repository name ${quote(name)}`, 'name')
}

/** Throws Invalid: a malformed digest is never looked up as a tag, and a tag never contains a colon. */
export function parseReference(text: string): Reference {
  if (text.includes(':')) return { digest: requireDigest(text) }
  if (!TAG.test(text)) throw new Invalid(`invalid tag ${quote(text)}`, 'tag')
  return { tag: text }
}

/**
 * What somebody looks for. Throws NotFound('manifest') for what no tag can be called, as the conformance suite of the
 * OCI distribution-spec wants it, and Invalid for a malformed digest.
 */
export function parseSought(text: string): Reference {
  if (!text.includes(':') && !TAG.test(text)) throw new NotFound('manifest', quote(text))
  return parseReference(text)
}

/** Throws Invalid('digest') for anything but a well-formed sha256 or sha512 digest. */
export function requireDigest(text: string): Digest {
  const digest = parseDigest(text)
  if (digest === null) throw new Invalid(`invalid digest ${quote(text)}`, 'digest')
  return digest
}

/** `sha256:<hex>`. */
export function formatDigest({ algorithm, hex }: Digest): string {
  return `${algorithm}:${hex}`
}

function quote(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}…` : text)
}
