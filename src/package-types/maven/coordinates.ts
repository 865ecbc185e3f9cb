import type { Algorithm } from '../../storage/digest.ts'

/** `package.type` of everything here. */
export const MAVEN = 'maven'

const METADATA = 'maven-metadata.xml'
const CHECKSUM = /\.(md5|sha1|sha256|sha512)$/
const SNAPSHOT = 'SNAPSHOT'
/** The longest segment of a path, in characters: no file system, and no column, takes a longer name. */
const LONGEST = 255
// What some file system or URL would take for something else; no ecosystem tool ever writes it.
const FORBIDDEN = /[\\/:"<>|?*\p{Cc}\p{Surrogate}\ufffd]/u
/** Documents about a whole repository (maven.md §1). */
const ROOT_DOCUMENTS: ReadonlySet<string> = new Set(['archetype-catalog.xml', '.meta/prefixes.txt'])

/** A file of a version. */
export interface FilePath {
  readonly kind: 'file'
  readonly group: string
  readonly artifact: string
  /** Name of the folder: a snapshot's is or ends with `SNAPSHOT`, whatever its file names say. */
  readonly version: string
  readonly filename: string
}

/**
 * `maven-metadata.xml` of an artifact, which may as well be that of the group `group.artifact`: their paths do not
 * differ. `group` is empty for that of a group with one component.
 */
export interface MetadataPath {
  readonly kind: 'metadata'
  readonly group: string
  readonly artifact: string
}

/** `maven-metadata.xml` of a snapshot version. */
export interface SnapshotMetadataPath {
  readonly kind: 'snapshot-metadata'
  readonly group: string
  readonly artifact: string
  readonly version: string
}

/** A document about the whole repository. */
export interface RootPath {
  readonly kind: 'root'
  readonly filename: string
}

/** What can be asked for in a repository: a file, or a document that tells of files. */
export type RepositoryPath = FilePath | DocumentPath
export type DocumentPath = MetadataPath | SnapshotMetadataPath | RootPath

/** A path below the repository's root: something, or a checksum of it. */
export interface ParsedPath {
  readonly path: RepositoryPath
  /** null: the thing itself. */
  readonly checksum: Algorithm | null
}

/**
 * Reads the path of a URL below the repository's root, still percent-encoded, without a leading slash (maven.md §1).
 * Null for what is no path of a Maven repository: too few segments, empty ones, `.` and `..`, characters that a name
 * cannot have (an encoded slash among them), directories.
 */
export function parsePath(encoded: string): ParsedPath | null {
  const segments = decodeSegments(encoded)
  if (segments === null) return null
  const last = segments.pop()!
  const checksum = (CHECKSUM.exec(last)?.[1] ?? null) as Algorithm | null
  const filename = checksum === null ? last : last.slice(0, -checksum.length - 1)
  // Not the last segment as it is: a file with the longest name has checksums too, and `...md5` is that of `..`.
  const path = [...segments, filename].every(isSegment) ? toPath(segments, filename) : null
  return path === null ? null : { path, checksum }
}

/** The name of the package that a path is about: `group:artifact`; null where it is about none. */
export function packageName(path: RepositoryPath): string | null {
  return path.kind === 'root' || path.group === '' ? null : `${path.group}:${path.artifact}`
}

/** The group whose metadata has this path, if it is not that of an artifact. */
export function groupOf({ group, artifact }: MetadataPath): string {
  return group === '' ? artifact : `${group}.${artifact}`
}

/** The path below a repository's root, percent-encoded, without a leading slash. */
export function formatPath(path: RepositoryPath): string {
  return segmentsOf(path).map(encodeURIComponent).join('/')
}

/** Whether a version is one that goes on changing (maven.md §1). */
export function isSnapshot(version: string): boolean {
  return version === SNAPSHOT || version.endsWith(`-${SNAPSHOT}`)
}

/** Whether the file is one that a snapshot's version keeps replacing: its name has no timestamp (maven.md §4). */
export function isReplaceable({ version, artifact, filename }: FilePath): boolean {
  if (!isSnapshot(version)) return false
  const base = `${artifact}-${version.slice(0, -SNAPSHOT.length)}`
  return !(filename.startsWith(base) && /^\d{8}\.\d{6}-\d+(?=[-.])/.test(filename.slice(base.length)))
}

function toPath(folders: string[], filename: string): RepositoryPath | null {
  const root = [...folders, filename].join('/')
  if (ROOT_DOCUMENTS.has(root)) return { kind: 'root', filename: root }
  if (filename.startsWith(METADATA) && filename !== METADATA) return null
  const isMetadata = filename === METADATA
  const isOfVersion = !isMetadata || isSnapshot(folders.at(-1) ?? '')
  const version = isOfVersion ? folders.pop() : undefined
  const artifact = folders.pop()
  const group = folders.join('.')
  if (artifact === undefined || (group === '' ? isOfVersion : group.split('.').includes(''))) return null
  if (version === undefined) return { kind: 'metadata', group, artifact }
  const coordinates = { group, artifact, version }
  return isMetadata ? { kind: 'snapshot-metadata', ...coordinates } : { kind: 'file', ...coordinates, filename }
}

function segmentsOf(path: RepositoryPath): string[] {
  if (path.kind === 'root') return path.filename.split('/')
  const folders = [...(path.group === '' ? [] : path.group.split('.')), path.artifact]
  if (path.kind === 'metadata') return [...folders, METADATA]
  return [...folders, path.version, path.kind === 'file' ? path.filename : METADATA]
}

function decodeSegments(encoded: string): string[] | null {
  try {
    return encoded.split('/').map(decodeURIComponent)
  } catch {
    return null
  }
}

function isSegment(text: string): boolean {
  if (text === '' || text === '.' || text === '..' || text.trim() !== text) return false
  return text.length <= LONGEST && !FORBIDDEN.test(text)
}
