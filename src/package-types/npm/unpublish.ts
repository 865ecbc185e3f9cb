import type { Owner } from '../../auth/owner.ts'
import { Conflict, Forbidden, Invalid, NotFound } from '../../errors.ts'
import type { PackageRow } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import { changePackage } from './change.ts'
import { isObject } from './metadata.ts'
import { checkTag, versionOfFile } from './names.ts'
import { moveTags, readPackage } from './queries.ts'
import { toDistTags, toRevision } from './stored-packument.ts'

/** Whose package it is and who asks. */
export interface UnpublishTarget {
  readonly owner: Owner
  readonly doer: Owner
  readonly name: string
}

/**
 * Takes back a document that a client has changed: versions of ours that are missing from it are deleted, and its tags
 * are applied where they point to a version that stays. The deletion must happen here, not in the DELETE that follows:
 * npm builds a wrong address for that one when a scope has a registry of its own, and takes the 404 for success
 * (npm.md §5). Conflict when `revision` is not the current one: a version published in between would be lost.
 */
export async function applyDocument(
  services: Services,
  target: UnpublishTarget,
  revision: string,
  document: unknown,
): Promise<void> {
  const { owner, doer, name } = target
  const row = await getPackage(services, owner, name)
  const { versions, tags } = readDocument(document)
  const rows = await readPackage(services.db, row.id)
  if (toRevision(rows) !== revision) {
    throw new Conflict('package', 'the package was changed meanwhile: fetch it again, then repeat')
  }
  const { latest } = toDistTags(rows)
  const absent = rows.versions.filter(({ version }) => !versions.has(version))
  for (const version of absent) {
    await services.packages.removal.removePackageVersion({ owner, package: row, version }, doer)
  }
  // npm lets `latest` fall to the highest number there is, prereleases included; ours falls to a release by itself.
  if (latest !== undefined && !versions.has(latest)) tags.delete('latest')
  await applyTags(services, row, tags, absent.length > 0)
}

/** Deletes a package with all versions, whatever the revision. NotFound when there is none. */
export async function removePackage(services: Services, { owner, doer, name }: UnpublishTarget): Promise<void> {
  const row = await getPackage(services, owner, name)
  await services.packages.removal.removePackage({ owner, package: row }, doer)
}

/** Deletes the version of a tarball. What is gone already is no error: the document has usually done it before. */
export async function removeTarball(services: Services, target: UnpublishTarget, file: string): Promise<void> {
  const { owner, doer, name } = target
  const version = versionOfFile(name, file)
  if (version === null) throw new NotFound('file', file)
  const found = await services.packages.lookup.findFile(owner.id, 'npm', name, version, file)
  if (found === null) return
  await services.packages.removal.removePackageVersion({ owner, ...found }, doer)
  // Only to note the time: a document without its newest version must not look older than before.
  await changePackage(services, found.package, async () => true)
}

function readDocument(document: unknown): { versions: ReadonlySet<string>; tags: Map<string, string> } {
  if (!isObject(document)) throw new Invalid('the body is not a package document', 'body')
  const { versions, maintainers, 'dist-tags': distTags = {} } = document
  if (!isObject(versions)) {
    if (maintainers !== undefined) {
      throw new Forbidden('who may publish is decided by the teams of the owner, not per package', 'package')
    }
    throw new Invalid('the body is not a package document', 'body')
  }
  if (!isObject(distTags)) throw new Invalid('dist-tags is not an object', 'tag')
  const tags = Object.entries(distTags).filter((entry): entry is [string, string] => typeof entry[1] === 'string')
  return { versions: new Set(Object.keys(versions)), tags: new Map(tags) }
}

async function applyTags(
  services: Services,
  row: PackageRow,
  tags: ReadonlyMap<string, string>,
  isChanged: boolean,
): Promise<void> {
  await changePackage(services, row, async (rows, transaction) => {
    const versions = new Map(rows.versions.map((version) => [version.version, version]))
    const held = new Map(rows.tags.map(({ tag, versionId }) => [tag, versionId]))
    let changed = isChanged
    for (const [tag, meant] of tags) {
      const version = versions.get(meant)
      if (version === undefined || held.get(tag) === version.id) continue
      checkTag(tag)
      await moveTags(services.db, version, [tag], transaction)
      changed = true
    }
    return changed
  })
}

async function getPackage({ packages }: Services, owner: Owner, name: string): Promise<PackageRow> {
  const row = await packages.lookup.findPackage(owner.id, 'npm', name)
  if (row === null) throw new NotFound('package', name)
  return row
}
