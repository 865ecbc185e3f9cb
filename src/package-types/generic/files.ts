import type { Owner } from '../../auth/owner.ts'
import { NotFound } from '../../errors.ts'
import type { Packages } from '../../packages/index.ts'
import type { FileRecord } from '../../packages/package-info.ts'
import type { ByteSource } from '../../storage/byte-source.ts'
import type { SpoolEntry } from '../../storage/spool.ts'
import type { FilePath } from './names.ts'

/** `package.type` of everything here. */
export const GENERIC = 'generic'

/**
 * Adds a file to a version, which is made if need be. Conflict('file') when the version has a file of that name, in
 * whatever case, also with the same bytes.
 */
export async function addFile(
  packages: Packages,
  owner: Owner,
  creator: Owner | null,
  { name, version, filename }: FilePath,
  content: SpoolEntry,
): Promise<void> {
  await packages.createPackageOrAddFileToExisting(
    { owner, type: GENERIC, name, version, creator, semverCompatible: false, metadata: null },
    { filename, content, isLead: true },
  )
}

/** The file with its blob, from memory when it was asked for before. NotFound('file'). */
export async function getFile(packages: Packages, owner: Owner, path: FilePath): Promise<FileRecord> {
  const record = await packages.lookup.findFile(owner.id, GENERIC, path.name, path.version, path.filename)
  if (record === null) throw new NotFound('file')
  return record
}

/** The bytes of a file; throws when the blob store has lost them. */
export async function openFile(packages: Packages, { blob }: FileRecord): Promise<ByteSource> {
  const source = await packages.blobs.open(blob.hashSha256)
  if (source === null) throw new Error(`blob ${blob.hashSha256} is missing in the blob store`)
  return source
}

/** Deletes a file, and its version with the last one. NotFound('file'). */
export async function deleteFile(packages: Packages, owner: Owner, doer: Owner | null, path: FilePath): Promise<void> {
  const record = await getFile(packages, owner, path)
  const deleted = await packages.removal.removePackageFileAndVersionIfUnreferenced({ owner, ...record }, doer)
  if (!deleted) throw new NotFound('file')
}

/** Deletes a version with all its files. NotFound('version'). */
export async function deleteVersion(
  packages: Packages,
  owner: Owner,
  doer: Owner | null,
  { name, version }: Omit<FilePath, 'filename'>,
): Promise<void> {
  const packageRow = await packages.lookup.findPackage(owner.id, GENERIC, name)
  const row = await packages.lookup.findVersion(owner.id, GENERIC, name, version)
  if (packageRow === null || row === null) throw new NotFound('version')
  const deleted = await packages.removal.removePackageVersion({ owner, package: packageRow, version: row }, doer)
  if (!deleted) throw new NotFound('version')
}
