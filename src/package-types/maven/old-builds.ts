import type { PackageDescriptor } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import { forgetBuild, readSnapshotVersions } from './queries.ts'
import { buildName, newestFiles, parseBuildFile } from './snapshots.ts'

/**
 * Removes the files of all but the newest `keep` builds of every snapshot published here; -1: of none. Files that the
 * snapshot's metadata names stay, however old they are (maven.md §4). How many went.
 */
export async function removeOldBuilds(services: Services, keep: number): Promise<number> {
  if (keep < 0) return 0
  let removed = 0
  for (let last = 0; ; ) {
    const versionIds = await readSnapshotVersions(services.db, last)
    if (versionIds.length === 0) return removed
    last = versionIds.at(-1)!
    for (const version of await services.packages.lookup.describe(versionIds)) {
      if (version.owner.kind !== 'mirror') removed += await removeOfVersion(services, version, keep)
    }
  }
}

async function removeOfVersion(
  { packages, db }: Services,
  { versionProperties, files, ...target }: PackageDescriptor,
  keep: number,
): Promise<number> {
  const artifact = target.package.name.slice(target.package.name.indexOf(':') + 1)
  const builds = files.flatMap(({ file }) => {
    const parsed = parseBuildFile({ artifact, version: target.version.version, filename: file.name })
    return parsed === null ? [] : [{ file, ...parsed }]
  })
  const announced = new Set(versionProperties.map(({ value }) => value))
  const named = newestFiles(builds, announced)
  const newest = Math.max(...named.map(({ build }) => build))
  const old = builds.filter((one) => one.build <= newest - keep && !named.includes(one))
  let removed = 0
  for (const { file } of old) {
    if (await packages.removal.removePackageFileAndVersionIfUnreferenced({ ...target, file }, null)) removed += 1
  }
  const left = new Set(builds.filter((one) => !old.includes(one)).map(toName))
  for (const name of new Set(old.map(toName))) if (!left.has(name)) await forgetBuild(db, target.version.id, name)
  return removed
}

function toName({ timestamp, build }: { timestamp: string; build: number }): string {
  return buildName({ timestamp, buildNumber: build })
}
