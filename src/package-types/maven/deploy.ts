import type { Readable } from 'node:stream'
import type { Doer } from '../../auth/doer.ts'
import type { Owner } from '../../auth/owner.ts'
import { Invalid, NotFound } from '../../errors.ts'
import type { AlsoInTransaction, PackageRow } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import type { Algorithm } from '../../storage/digest.ts'
import { parseChecksum } from './checksums.ts'
import {
  type FilePath,
  groupOf,
  isSnapshot,
  MAVEN,
  type MetadataPath,
  packageName,
  type SnapshotMetadataPath,
} from './coordinates.ts'
import { digestsOfBlob, isPom } from './files.ts'
import { defaultPrefix, formatPlugin } from './groups.ts'
import { type RepositoryMetadata, readMetadata } from './metadata-xml.ts'
import { checkPom } from './pom.ts'
import { readPomFile } from './pom-file.ts'
import { announceBuild, findBlob, findPlugin, readPlugins, writeMetadata, writePlugin } from './queries.ts'
import { buildName } from './snapshots.ts'
import { parseXmlInTurns } from './xml.ts'

const MAX_PLUGINS = 1_000

/** Who uploads to whom. */
export interface Deployer {
  readonly owner: Owner
  readonly creator: Owner | null
  /** Whether the name may be one that came from an upstream so far. */
  readonly confirmsShadow: boolean
}

/**
 * Makes a body a file of its version, which is made if need be. Conflict('file') when a release has a file of that name;
 * a snapshot's is replaced (maven.md §4). Invalid for a POM that cannot be read or belongs elsewhere. `length` is the
 * Content-Length, where there is one.
 */
export async function deployFile(
  services: Services,
  { owner, creator, confirmsShadow }: Deployer,
  path: FilePath,
  body: Readable,
  length: number | null,
): Promise<void> {
  const { packages, db, config } = services
  const content = await packages.receive({ owner, creator, type: MAVEN }, body, length)
  try {
    const isLead = isPom(path)
    const pom = isLead ? await readPomFile(content) : null
    if (pom !== null && config.packages.checkMavenPoms) checkPom(pom, path)
    const metadata = pom?.metadata ?? null
    const also: AlsoInTransaction = async ({ version, package: row, transaction }) => {
      await writeMetadata(db, version.id, metadata!, transaction)
      if (pom?.packaging !== 'maven-plugin') return
      const known = await findPlugin(db, owner.id, row.name, transaction)
      const plugin = formatPlugin({ prefix: defaultPrefix(path.artifact), name: pom.metadata.name ?? null })
      if (known?.value === null) await writePlugin(db, row.id, plugin, transaction)
    }
    const name = packageName(path)!
    await packages.createPackageOrAddFileToExisting(
      { owner, creator, type: MAVEN, name, version: path.version, semverCompatible: false, metadata, confirmsShadow },
      { filename: path.filename, content, isLead, overwrite: isSnapshot(path.version) },
      pom === null ? undefined : also,
    )
  } finally {
    await content.discard()
  }
}

/**
 * Compares the checksum that a client has sent with the file that it sent before: read past the caches, which on
 * another replica may not know the file yet. NotFound('file'); Invalid when it is another or none.
 */
export async function checkChecksum(
  services: Services,
  owner: Owner,
  path: FilePath,
  algorithm: Algorithm,
  text: string,
): Promise<void> {
  const blob = await findBlob(services.db, owner.id, path)
  if (blob === null) throw new NotFound('file', path.filename)
  const actual = digestsOfBlob(blob)[algorithm]
  const expected = parseChecksum(text, algorithm)
  if (expected === null) throw new Invalid(`the body is no ${algorithm} checksum`, 'body')
  if (expected !== actual) throw new Invalid(`the ${algorithm} of ${path.filename} is ${actual}`, 'body')
}

/**
 * Takes what a client says of a snapshot: not the document, which is generated from the files, but that the build which
 * it names is complete. What cannot be read says nothing.
 */
export async function announceSnapshot(
  services: Services,
  owner: Owner,
  path: SnapshotMetadataPath,
  bytes: Buffer,
): Promise<void> {
  const snapshot = (await tryRead(bytes))?.snapshot ?? null
  if (snapshot === null) return
  const { db } = services
  const changed = await db.inTransaction((transaction) =>
    announceBuild(db, owner.id, path, buildName(snapshot), transaction),
  )
  if (changed !== null) announceChange(services, changed)
}

/**
 * Takes what the metadata of a group says of plugins that are ours: by which prefix command lines call them. The rest
 * of it, and the metadata of an artifact, is generated. Plugins that the caller may not write are left alone: the
 * guard has looked at the artifact that the path would be.
 */
export async function namePlugins(
  services: Services,
  { owner, doer }: { owner: Owner; doer: Doer },
  path: MetadataPath,
  bytes: Buffer,
): Promise<void> {
  const plugins = (await tryRead(bytes))?.plugins ?? []
  if (plugins.length === 0) return
  const { db, permissions } = services
  const group = groupOf(path)
  const readsPrivate = await permissions.readsPrivate(doer, owner)
  // A client sends all that it has read and its own: of most there is nothing new.
  const rows = await readPlugins(db, owner.id, group)
  const known = new Map(rows.map((row) => [row.package.lowerName, row.value]))
  for (const { artifactId, prefix, name } of plugins.slice(0, MAX_PLUGINS)) {
    const value = formatPlugin({ prefix, name })
    const plugin = `${group}:${artifactId}`
    if (known.get(plugin.toLowerCase()) === value) continue
    if (doer.restriction?.allows(owner.lowerName, MAVEN, plugin) === false) continue
    const changed = await db.inTransaction(async (transaction) => {
      const row = await findPlugin(db, owner.id, plugin, transaction)
      if (row === null || row.value === value || (row.package.isPrivate && !readsPrivate)) return null
      await writePlugin(db, row.package.id, value, transaction)
      return row.package
    })
    if (changed !== null) announceChange(services, changed)
  }
}

async function tryRead(bytes: Buffer): Promise<RepositoryMetadata | null> {
  try {
    return readMetadata(await parseXmlInTurns(bytes))
  } catch (error) {
    if (error instanceof Invalid) return null
    throw error
  }
}

function announceChange({ packages }: Services, row: PackageRow): void {
  const { ownerId, type, lowerName } = row
  packages.lookup.forget(row)
  packages.events.emit({ action: 'changed', ownerId, type, lowerName })
}
