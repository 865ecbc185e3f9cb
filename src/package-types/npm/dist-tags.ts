import type { Owner } from '../../auth/owner.ts'
import { Invalid, NotFound } from '../../errors.ts'
import type { PackageRow } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import { changePackage } from './change.ts'
import { checkTag, normalizeVersion } from './names.ts'
import { deleteTag, moveTags } from './queries.ts'

/** Lets a tag point to a version. Invalid for what is no tag or no version; NotFound when either is not there. */
export async function setTag(
  services: Services,
  owner: Owner,
  name: string,
  tag: string,
  wanted: unknown,
): Promise<void> {
  checkTag(tag)
  const version = normalizeVersion(wanted)
  if (version === null) throw new Invalid('the body is not a JSON string with a version', 'version')
  const row = await getPackage(services, owner, name)
  await changePackage(services, row, async (rows, transaction) => {
    const found = rows.versions.find(({ lowerVersion }) => lowerVersion === version.toLowerCase())
    if (found === undefined) throw new NotFound('version', `${name}@${version}`)
    await moveTags(services.db, found, [tag], transaction)
    return true
  })
}

/** Takes a tag away; one that is not there is no error. Without its row `latest` goes on by itself (npm.md §6). */
export async function removeTag(services: Services, owner: Owner, name: string, tag: string): Promise<void> {
  checkTag(tag)
  const row = await getPackage(services, owner, name)
  await changePackage(services, row, async (_rows, transaction) => deleteTag(services.db, row.id, tag, transaction))
}

async function getPackage({ packages }: Services, owner: Owner, name: string): Promise<PackageRow> {
  const row = await packages.lookup.findPackage(owner.id, 'npm', name)
  if (row === null) throw new NotFound('package', name)
  return row
}
