import { createHash } from 'node:crypto'
import semver from 'semver'
import type { PackageRow, VersionRow } from '../../packages/package-info.ts'
import { isObject, type JsonObject, type Manifest, type Person } from './metadata.ts'
import type { Packument, PackumentInput } from './packument.ts'
import type { PackageRows, TagRow } from './queries.ts'

const MAX_MAINTAINERS = 100
/** What a document says about the whole package, taken from the version tagged latest. */
const PACKAGE_FIELDS = [
  'description',
  'homepage',
  'keywords',
  'repository',
  'author',
  'bugs',
  'license',
  'readmeFilename',
] as const

/** The document of a package of ours, from its rows; null when no version is left (npm.md §3.2). */
export function toPackument(row: PackageRow, rows: PackageRows, readme: string): PackumentInput | null {
  if (rows.versions.length === 0) return null
  const versions = Object.fromEntries(rows.versions.map((version) => [version.version, parseManifest(version)]))
  const tags = toDistTags(rows)
  const latest = versions[tags['latest']!]!
  const times = rows.versions.map(({ version, createdAt }) => [version, toTime(createdAt)])
  const created = Math.min(...rows.versions.map(({ createdAt }) => createdAt))
  const document: Packument = {
    _id: row.name,
    name: row.name,
    'dist-tags': tags,
    versions,
    time: { created: toTime(created), modified: toTime(modifiedAt(rows)), ...Object.fromEntries(times) },
    maintainers: maintainersOf(Object.values(versions)),
    ...pick(latest, PACKAGE_FIELDS),
    readme,
  }
  return { document, revision: toRevision(rows) }
}

/**
 * The tags with what they point to. There is always a `latest` while there are versions: clients fail without it. When
 * its version is gone it means the highest release, or the highest prerelease where there is no release.
 */
export function toDistTags({
  versions,
  tags,
}: {
  versions: readonly Pick<VersionRow, 'id' | 'version'>[]
  tags: readonly TagRow[]
}): Record<string, string> {
  const byId = new Map(versions.map(({ id, version }) => [id, version]))
  const known = tags.flatMap(({ tag, versionId }) => {
    const version = byId.get(versionId)
    return version === undefined ? [] : [[tag, version] as const]
  })
  const distTags = Object.fromEntries(known)
  if (distTags['latest'] === undefined && versions.length > 0) {
    distTags['latest'] = highest(versions.map(({ version }) => version))
  }
  return distTags
}

/** The version that a tag means, or the one with that number; null when there is none. */
export function findVersion(rows: PackageRows, versionOrTag: string): VersionRow | null {
  const tags = toDistTags(rows)
  const wanted = Object.hasOwn(tags, versionOrTag) ? tags[versionOrTag] : versionOrTag
  const lower = (semver.valid(wanted) ?? wanted ?? '').toLowerCase()
  return rows.versions.find(({ lowerVersion }) => lowerVersion === lower) ?? null
}

/** The highest release, or the highest prerelease where there is none but those. */
export function highest(versions: readonly string[]): string {
  const releases = versions.filter((version) => semver.prerelease(version, true) === null)
  const candidates = releases.length > 0 ? releases : versions
  return candidates.reduce((best, version) => (semver.compareLoose(version, best) > 0 ? version : best))
}

/** Changes with every change of the package, whoever made it; the number in front is only for reading. */
export function toRevision({ versions, tags, changedAt }: PackageRows): string {
  const hash = createHash('sha256')
  for (const { id, metadataJson } of versions) hash.update(`${id}\n${metadataJson}\n`)
  hash.update(JSON.stringify([tags.map((row: TagRow) => [row.tag, row.versionId]).sort(), changedAt]))
  return `${versions.length}-${hash.digest('hex').slice(0, 32)}`
}

/** When the package changed last, ms. */
export function modifiedAt({ versions, changedAt }: PackageRows): number {
  return versions.reduce((latest, { createdAt }) => Math.max(latest, createdAt), changedAt)
}

/** What `metadata_json` of a version holds. */
export function parseManifest({ metadataJson }: VersionRow): Manifest {
  return JSON.parse(metadataJson) as Manifest
}

function maintainersOf(manifests: readonly JsonObject[]): Person[] {
  const people = new Map<string, Person>()
  for (const { _npmUser } of manifests) {
    if (isObject(_npmUser) && people.size < MAX_MAINTAINERS) {
      people.set(String(_npmUser['name']), _npmUser as unknown as Person)
    }
  }
  return [...people.values()]
}

function pick(from: JsonObject, fields: readonly string[]): JsonObject {
  return Object.fromEntries(fields.flatMap((field) => (from[field] === undefined ? [] : [[field, from[field]]])))
}

function toTime(ms: number): string {
  return new Date(ms).toISOString()
}
