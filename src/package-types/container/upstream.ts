import { createHash } from 'node:crypto'
import { Type } from 'typebox'
import { parseDigest } from '../../storage/digest.ts'
import type { DocumentRequest, UpstreamAdapter } from '../../upstream/adapter.ts'
import { acceptedManifests, isManifestType, mediaTypeOf } from './media-types.ts'
import { property } from './names.ts'
import { parseRegistryPath } from './path.ts'
import type { ReferrerDescriptor } from './source.ts'
import { compileVersions } from './tag-patterns.ts'

const MINUTE = 60_000

/** Which manifest a tag names. */
export interface TagTarget {
  /** `sha256:<hex>`. */
  readonly digest: string
  readonly mediaType: string
  /** Bytes. */
  readonly size: number
}

/** How registries are asked (container.md §12, §13). */
export const upstream: UpstreamAdapter = {
  options: Type.Object(
    {
      /** First component of names that have only one: Docker Hub's `library`. */
      defaultNamespace: Type.Optional(Type.String({ minLength: 1 })),
    },
    { additionalProperties: false },
  ),
  nameDocument: tagListRequest,
  sample: versionCheck,
  compileVersions,
  // An image without one of its layers is worth nothing.
  versionParts: { part: property.blob, child: property.reference },
  tokenScope: (url) => {
    const path = /\/v2\/(.+)$/s.exec(url.pathname)?.[1]
    const parsed = path === undefined ? null : parseRegistryPath(path)
    return parsed === null ? null : `repository:${parsed.repository}:pull`
  },
  // After a token was obtained: most registries answer so for repositories that do not exist.
  absentStatuses: [401, 403],
}

/** Every registry answers it, and to whom it signs in alone (OCI distribution-spec, Determining Support). */
function versionCheck(): DocumentRequest<NonNullable<unknown>> {
  return { kind: 'check', key: 'v2', path: 'v2/', accept: 'application/json', parse: (body) => body }
}

/**
 * A tag, made from the headers of a HEAD, which Docker Hub does not count against its limits. Never stale while
 * revalidating: who pulls a tag wants what it is now.
 */
export function tagRequest(repository: string, tag: string): DocumentRequest<TagTarget> {
  return {
    kind: kindOf('tag', tag),
    key: repository,
    path: `v2/${repository}/manifests/${tag}`,
    accept: acceptedManifests,
    times: { fresh: MINUTE, staleWhileRevalidate: 0, staleWait: 2_000 },
    describe: {
      fromHead: (headers) => {
        const target = targetOf(headers['docker-content-digest'], headers['content-type'], headers['content-length'])
        return target === null ? null : Buffer.from(JSON.stringify(target))
      },
      fromBody: (headers, body) => {
        const digest = `sha256:${createHash('sha256').update(body).digest('hex')}`
        const claimed = headers['docker-content-digest']
        if (claimed?.startsWith('sha256:') === true && claimed !== digest) throw new Error('the digest is wrong')
        const mediaType = mediaTypeOf(body) ?? headers['content-type']
        return Buffer.from(JSON.stringify(targetOf(digest, mediaType, String(body.length)) ?? {}))
      },
    },
    parse: (body) => {
      const target = JSON.parse(body.toString()) as Partial<TagTarget>
      if (target.digest === undefined) throw new Error('the tag names no manifest that could be served')
      return target as TagTarget
    },
    listing: ({ digest }) => ({ kind: 'tag', name: repository, tag, digest }),
  }
}

/** All tags of a repository, in byte order; the document that proves that the upstream has it. */
export function tagListRequest(repository: string): DocumentRequest<readonly string[]> {
  return {
    kind: 'tags',
    key: repository,
    path: `v2/${repository}/tags/list`,
    accept: 'application/json',
    times: { fresh: MINUTE, staleWhileRevalidate: 10 * MINUTE, staleWait: 2_000 },
    pages: {
      next: nextPage,
      join: (bodies) => Buffer.from(JSON.stringify({ tags: bodies.flatMap((body) => parseTags(body)) })),
    },
    parse: (body) => [...new Set(parseTags(body))].sort(byBytes),
  }
}

/** What the upstream's own API says of a digest's referrers. */
export function referrersRequest(repository: string, digest: string): DocumentRequest<readonly ReferrerDescriptor[]> {
  return {
    kind: kindOf('referrers', digest),
    key: repository,
    path: `v2/${repository}/referrers/${digest}`,
    accept: 'application/vnd.oci.image.index.v1+json',
    times: { fresh: 5 * MINUTE, staleWhileRevalidate: 10 * MINUTE, staleWait: 2_000 },
    pages: {
      next: nextPage,
      join: (bodies) => Buffer.from(JSON.stringify({ manifests: bodies.flatMap((body) => parseReferrers(body)) })),
    },
    parse: parseReferrers,
  }
}

/** The index that clients keep under a tag where the upstream has no referrers API (container.md §7). */
export function referrersTagRequest(
  repository: string,
  digest: string,
): DocumentRequest<readonly ReferrerDescriptor[]> {
  const [algorithm = '', encoded = ''] = digest.split(':')
  return {
    ...referrersRequest(repository, digest),
    kind: kindOf('fallback', digest),
    path: `v2/${repository}/manifests/${algorithm.slice(0, 32)}-${encoded.slice(0, 64)}`,
  }
}

/** Where the next page is: the target of `Link: <…>; rel="next"`. */
function nextPage(headers: Readonly<Record<string, string>>): string | null {
  return /<([^<>]+)>\s*;\s*rel="?next"?/.exec(headers['link'] ?? '')?.[1] ?? null
}

/** Identity of one document among the repository's, short enough for its column, so that the key is the repository. */
function kindOf(kind: 'tag' | 'referrers' | 'fallback', which: string): string {
  return `${kind[0]}:${createHash('sha256').update(which).digest('base64url').slice(0, 28)}`
}

function targetOf(digest = '', type = '', length = ''): TagTarget | null {
  const mediaType = type.split(';', 1)[0]!.trim().toLowerCase()
  const size = /^\d+$/.test(length) ? Number(length) : 0
  return parseDigest(digest) === null || size === 0 || !isManifestType(mediaType) ? null : { digest, mediaType, size }
}

function parseTags(body: Buffer): string[] {
  const { tags } = JSON.parse(body.toString()) as { tags?: unknown }
  if (tags === null) return []
  if (!Array.isArray(tags) || !tags.every((tag) => typeof tag === 'string')) throw new Error('it lists no tags')
  return tags
}

function parseReferrers(body: Buffer): ReferrerDescriptor[] {
  const { manifests } = JSON.parse(body.toString()) as { manifests?: unknown }
  if (!Array.isArray(manifests)) throw new Error('it is no index')
  return manifests.flatMap((entry: Partial<ReferrerDescriptor> | null) => {
    if (typeof entry?.mediaType !== 'string' || typeof entry.size !== 'number') return []
    if (typeof entry.digest !== 'string' || parseDigest(entry.digest) === null) return []
    const { mediaType, digest, size, artifactType, annotations } = entry
    return [
      {
        ...{ mediaType, digest, size },
        ...(typeof artifactType === 'string' ? { artifactType } : {}),
        ...(typeof annotations === 'object' && annotations !== null ? { annotations } : {}),
      },
    ]
  })
}

function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
