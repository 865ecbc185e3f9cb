import { createHash } from 'node:crypto'
import { Invalid } from '../../errors.ts'
import type { VersionListing } from '../../policies/listing.ts'
import type { Algorithm } from '../../storage/digest.ts'
import type { DocumentRequest, DocumentTimes } from '../../upstream/adapter.ts'
import { parseChecksum } from './checksums.ts'
import {
  type DocumentPath,
  type FilePath,
  formatPath,
  groupOf,
  isSnapshot,
  type MetadataPath,
  packageName,
  type RepositoryPath,
  type RootPath,
  type SnapshotMetadataPath,
} from './coordinates.ts'
import { type RepositoryMetadata, readMetadata } from './metadata-xml.ts'
import { digestInHeaders, isPage } from './upstream-checksums.ts'
import { parseXml } from './xml.ts'

const MINUTE = 60_000
/** Never stale while revalidating: who asks for a snapshot wants what it is now. */
const SNAPSHOT_TIMES: DocumentTimes = { fresh: MINUTE, staleWhileRevalidate: 0, staleWait: 2_000 }
/** What documents about a whole repository begin with, after a byte order mark. */
const ROOT_BEGINNINGS: Readonly<Record<string, RegExp>> = {
  'archetype-catalog.xml': /^(<\?xml[^>]*>\s*)?(<!--[^>]*-->\s*)*<archetype-catalog\b/,
  '.meta/prefixes.txt': /^## repository-prefixes\//,
}

/** A document as it was received, and what is read of it. */
export interface UpstreamDocument {
  readonly bytes: Buffer
  /** null for documents that are no `maven-metadata.xml`. */
  readonly metadata: RepositoryMetadata | null
}

/** Whatever a repository has that may change, served as it is. */
export function documentRequest(path: DocumentPath): DocumentRequest<UpstreamDocument> {
  return path.kind === 'root' ? rootRequest(path) : metadataRequest(path)
}

/** `maven-metadata.xml`; that of an artifact proves that the upstream has it. */
export function metadataRequest(path: MetadataPath | SnapshotMetadataPath): DocumentRequest<UpstreamDocument> {
  return {
    ...identityOf(path.kind === 'metadata' ? 'metadata' : kindOf('v', path.version), path),
    path: formatPath(path),
    accept: '*/*',
    ...(path.kind === 'metadata' ? {} : { times: SNAPSHOT_TIMES }),
    parse: (bytes) => {
      const metadata = readMetadata(parseXml(bytes))
      checkCoordinates(metadata, path)
      return { bytes, metadata }
    },
    isOlder,
    ...(path.kind === 'metadata' && packageName(path) !== null
      ? { listing: (document: UpstreamDocument) => listingOf(path, document, null) }
      : {}),
  }
}

/**
 * The versions of an artifact; its document has one time for all of them, or else was last changed at `lastModified`.
 * Snapshots are not listed: they go on changing.
 */
export function listingOf(
  path: MetadataPath,
  { metadata }: UpstreamDocument,
  lastModified: number | null,
): VersionListing {
  const versions = metadata?.versions.filter((version) => !isSnapshot(version)) ?? []
  const published = new Map(versions.map((version) => [version, null]))
  return { kind: 'versions', name: packageName(path) ?? '', published, modified: updatedAt(metadata) ?? lastModified }
}

/** `lastUpdated` in ms since the epoch, or null; it is in UTC. */
function updatedAt(metadata: RepositoryMetadata | null): number | null {
  const digits = metadata?.lastUpdated?.replace('.', '') ?? ''
  const [, year, month, day, hour, minute, second] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(digits)?.map(Number) ?? []
  return second === undefined ? null : Date.UTC(year!, month! - 1, day!, hour!, minute!, second)
}

/**
 * The state of a file that is replaced under its name, made from the headers of a HEAD: equal bytes are an unchanged
 * file, so that large ones are not fetched to find out. Where HEAD tells nothing, the digest of the body does.
 */
export function stateRequest(path: FilePath): DocumentRequest<NonNullable<unknown>> {
  return {
    ...identityOf(kindOf('f', `${path.version}/${path.filename}`), path),
    path: formatPath(path),
    accept: '*/*',
    times: SNAPSHOT_TIMES,
    describe: {
      fromHead: (headers) => {
        if (isPage(headers)) throw new Error('a web page')
        const { etag = '', 'last-modified': lastModified = '', 'content-length': size = '' } = headers
        const digest = digestInHeaders(headers)
        // Servers behind one address may have different ETags for the same bytes.
        if (digest !== null) return toBuffer({ digest })
        return etag === '' && lastModified === '' ? null : toBuffer({ etag, lastModified, size })
      },
      fromBody: (headers, body) => {
        if (isPage(headers)) throw new Error('a web page')
        return toBuffer({ sha256: createHash('sha256').update(body).digest('hex') })
      },
    },
    parse: (body) => body,
  }
}

/** The checksum that the upstream has beside a file, as lower-case hex. */
export function checksumRequest(path: FilePath, algorithm: Algorithm): DocumentRequest<string> {
  return {
    ...identityOf(kindOf('s', `${path.version}/${path.filename}.${algorithm}`), path),
    path: `${formatPath(path)}.${algorithm}`,
    accept: '*/*',
    ...(isSnapshot(path.version) ? { times: SNAPSHOT_TIMES } : {}),
    parse: (body) => {
      const hex = body.length > 4 * 1024 ? null : parseChecksum(body.toString('latin1'), algorithm)
      if (hex === null) throw new Invalid('it is no checksum')
      return hex
    },
  }
}

function rootRequest(path: RootPath): DocumentRequest<UpstreamDocument> {
  return {
    ...identityOf('root', path),
    path: formatPath(path),
    accept: '*/*',
    parse: (bytes) => {
      const text = bytes.toString('utf8', 0, 1024).replace(/^\ufeff/, '')
      if (!ROOT_BEGINNINGS[path.filename]!.test(text)) throw new Invalid(`it is no ${path.filename}`)
      return { bytes, metadata: null }
    },
  }
}

/** All documents of a package have its name as their key, so that it is invalidated and purged with them. */
function identityOf(kind: string, path: RepositoryPath): { kind: string; key: string } {
  return { kind, key: packageName(path) ?? (path.kind === 'root' ? path.filename : path.artifact) }
}

/** Tells apart the documents of one package, short enough for its column. */
function kindOf(kind: 'v' | 'f' | 's', which: string): string {
  return `${kind}:${createHash('sha256').update(which).digest('base64url').slice(0, 28)}`
}

/**
 * Throws where a document says that it is about something else; that of a group lies where one of an artifact would.
 * Case is not compared: some repositories find names in any case, and say the right one.
 */
function checkCoordinates(said: RepositoryMetadata, path: MetadataPath | SnapshotMetadataPath): void {
  const isOfGroup = said.artifactId === null && path.kind === 'metadata' && isSame(said.groupId, groupOf(path))
  const isOther =
    !(isSame(said.groupId, path.group) || isOfGroup) ||
    !isSame(said.artifactId, path.artifact) ||
    (path.kind === 'snapshot-metadata' && !isSame(said.version, path.version))
  if (!isOther) return
  throw new Invalid(`it is about ${JSON.stringify([said.groupId, said.artifactId, said.version].join(':'))}`)
}

/** Whether a text is the expected one, or not there. */
function isSame(said: string | null, expected: string): boolean {
  return said === null || said.toLowerCase() === expected.toLowerCase()
}

/** Told by the time of the last update; a document that lists a version more is newer, whatever its time says. */
function isOlder({ metadata: candidate }: UpstreamDocument, { metadata: held }: UpstreamDocument): boolean {
  const [then, now] = [candidate?.lastUpdated, held?.lastUpdated].map(toTime)
  if (candidate === null || held === null || then == null || now == null || then >= now) return false
  const known = new Set(held.versions)
  return candidate.versions.every((version) => known.has(version))
}

/** `yyyyMMddHHmmss`, some with a dot before the time, as a number to compare. */
function toTime(text: string | null | undefined): number | null {
  const digits = text?.replace('.', '') ?? ''
  return /^\d{14}$/.test(digits) ? Number(digits) : null
}

function toBuffer(state: object): Buffer {
  return Buffer.from(JSON.stringify(state))
}
