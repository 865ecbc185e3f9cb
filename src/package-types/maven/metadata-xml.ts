import { Invalid } from '../../errors.ts'
import { isSnapshot } from './coordinates.ts'
import { childOf, entriesOf, textOf, type XmlElement } from './xml.ts'

const HEADER = '<?xml version="1.0" encoding="UTF-8"?>\n'
const SNAPSHOT = 'SNAPSHOT'
/** Characters of a text that is read: nothing that has a path of its own is longer. */
const MAX_TEXT = 255

/** A version of an artifact; `createdAt` is in ms since the epoch. */
export interface ListedVersion {
  readonly version: string
  readonly createdAt: number
}

/** A build of a snapshot. */
export interface SnapshotBuild {
  /** UTC, `yyyyMMdd.HHmmss`. */
  readonly timestamp: string
  readonly buildNumber: number
}

/** The newest file of its kind within a snapshot version. */
export interface SnapshotFile {
  readonly classifier: string | null
  /** Without a leading dot; `tar.gz` is one. */
  readonly extension: string
  /** UTC, `yyyyMMdd.HHmmss`. */
  readonly timestamp: string
  readonly build: number
}

/** A plugin of a group. */
export interface PluginEntry {
  /** For people. */
  readonly name: string | null
  /** What a command line says for it. */
  readonly prefix: string
  readonly artifactId: string
}

/** What a `maven-metadata.xml` says, of whichever level. */
export interface RepositoryMetadata {
  readonly groupId: string | null
  readonly artifactId: string | null
  readonly version: string | null
  readonly versions: string[]
  /** `yyyyMMddHHmmss` as a rule. */
  readonly lastUpdated: string | null
  readonly snapshot: SnapshotBuild | null
  readonly plugins: PluginEntry[]
}

/** A text, or elements by name; those that are null are left out, those that are lists repeat. */
type Content = string | number | { readonly [name: string]: Content | readonly Content[] | null }

/**
 * `maven-metadata.xml` of an artifact, byte for byte Gitea's but for `lastUpdated` (maven.md §4). `versions` in the
 * order of creation, not empty.
 */
export function renderArtifactMetadata(artifact: {
  readonly group: string
  readonly artifact: string
  readonly versions: readonly ListedVersion[]
}): Buffer {
  const versions = artifact.versions.map(({ version }) => version)
  const newest = artifact.versions.reduce((latest, { createdAt }) => Math.max(latest, createdAt), 0)
  return render('metadata', {
    groupId: artifact.group,
    artifactId: artifact.artifact,
    versioning: {
      release: versions.findLast((version) => !isSnapshot(version)) ?? null,
      latest: versions.at(-1) ?? null,
      versions: { version: versions },
      lastUpdated: formatTime(newest),
    },
  })
}

/** `maven-metadata.xml` of a snapshot version, as Maven 3 writes it. `files`: one of each kind, not empty. */
export function renderSnapshotMetadata(snapshot: {
  readonly group: string
  readonly artifact: string
  readonly version: string
  readonly files: readonly SnapshotFile[]
}): Buffer {
  const { group, artifact, version, files } = snapshot
  const base = version.slice(0, -SNAPSHOT.length)
  const newest = files.reduce((newest, file) => (isNewer(file, newest) ? file : newest))
  return render('metadata modelVersion="1.1.0"', {
    groupId: group,
    artifactId: artifact,
    version,
    versioning: {
      snapshot: { timestamp: newest.timestamp, buildNumber: newest.build },
      lastUpdated: toUpdated(newest.timestamp),
      snapshotVersions: {
        snapshotVersion: files.map(({ classifier, extension, timestamp, build }) => ({
          classifier,
          extension,
          value: `${base}${timestamp}-${build}`,
          updated: toUpdated(timestamp),
        })),
      },
    },
  })
}

/**
 * `maven-metadata.xml` of an upstream's artifact with some of its versions, in its order: `release` and `latest` are the
 * newest of them, all else is as the upstream says.
 */
export function renderRestrictedMetadata(
  metadata: RepositoryMetadata,
  versions: readonly string[],
  compare: (a: string, b: string) => number,
): Buffer {
  const newest = (all: readonly string[]) =>
    all.reduce<string | null>((best, one) => (best === null || compare(one, best) > 0 ? one : best), null)
  return render('metadata', {
    groupId: metadata.groupId,
    artifactId: metadata.artifactId,
    versioning: {
      latest: newest(versions),
      release: newest(versions.filter((version) => !isSnapshot(version))),
      versions: { version: versions },
      lastUpdated: metadata.lastUpdated,
    },
    plugins: metadata.plugins.length === 0 ? null : { plugin: metadata.plugins.map((plugin) => ({ ...plugin })) },
  })
}

/** `maven-metadata.xml` of a group. */
export function renderPluginMetadata(plugins: readonly PluginEntry[]): Buffer {
  return render('metadata', {
    plugins: { plugin: plugins.map(({ name, prefix, artifactId }) => ({ name, prefix, artifactId })) },
  })
}

/** Reads what is there of the root element of any `maven-metadata.xml`. Throws Invalid for another document. */
export function readMetadata(metadata: XmlElement): RepositoryMetadata {
  if (metadata.name !== 'metadata') {
    throw new Invalid('the metadata cannot be read: its root element is no metadata', 'file')
  }
  const versioning = childOf(metadata, 'versioning')
  const versions = versioning === null ? [] : entriesOf(versioning, 'versions', 'version')
  return {
    groupId: shortText(metadata, 'groupId'),
    artifactId: shortText(metadata, 'artifactId'),
    version: shortText(metadata, 'version'),
    versions: versions.map((version) => shortText(version)).filter((version) => version !== null),
    lastUpdated: shortText(metadata, 'versioning', 'lastUpdated'),
    snapshot: readBuild(metadata),
    plugins: entriesOf(metadata, 'plugins', 'plugin')
      .map(readPlugin)
      .filter((plugin) => plugin !== null),
  }
}

function readBuild(metadata: XmlElement): SnapshotBuild | null {
  const timestamp = shortText(metadata, 'versioning', 'snapshot', 'timestamp')
  const buildNumber = shortText(metadata, 'versioning', 'snapshot', 'buildNumber')
  if (timestamp === null || !/^\d{8}\.\d{6}$/.test(timestamp)) return null
  return buildNumber !== null && /^\d{1,9}$/.test(buildNumber) ? { timestamp, buildNumber: Number(buildNumber) } : null
}

function readPlugin(plugin: XmlElement): PluginEntry | null {
  const prefix = shortText(plugin, 'prefix')
  const artifactId = shortText(plugin, 'artifactId')
  return prefix === null || artifactId === null ? null : { name: shortText(plugin, 'name'), prefix, artifactId }
}

function shortText(element: XmlElement, ...path: string[]): string | null {
  const text = textOf(element, ...path)
  return text !== null && text.length <= MAX_TEXT ? text : null
}

function isNewer(file: SnapshotFile, than: SnapshotFile): boolean {
  return file.build > than.build || (file.build === than.build && file.timestamp > than.timestamp)
}

function toUpdated(timestamp: string): string {
  return timestamp.replace('.', '')
}

/** `yyyyMMddHHmmss` in UTC, as `lastUpdated` has it; `ms` since the epoch. */
export function formatTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\D/g, '').slice(0, 'yyyyMMddHHmmss'.length)
}

function render(tag: string, content: Content): Buffer {
  return Buffer.from(HEADER + renderElement(tag, content), 'utf8')
}

function renderElement(tag: string, content: Content): string {
  const name = tag.split(' ', 1)[0]
  return `<${tag}>${renderContent(content)}</${name}>`
}

function renderContent(content: Content): string {
  if (typeof content !== 'object') return escapeText(String(content))
  return Object.entries(content)
    .flatMap(([name, value]) => {
      const all = value === null ? [] : Array.isArray(value) ? value : [value]
      return all.map((one) => renderElement(name, one))
    })
    .join('')
}

/** As Gitea's encoder does it; what XML cannot say becomes U+FFFD. */
function escapeText(text: string): string {
  return text
    .replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replace(/["'&<>\t\n\r]/g, (char) => ESCAPES[char]!)
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '&#34;',
  "'": '&#39;',
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '\t': '&#x9;',
  '\n': '&#xA;',
  '\r': '&#xD;',
}
