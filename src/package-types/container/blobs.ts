import type { Owner } from '../../auth/owner.ts'
import { Invalid, MethodNotAllowed, NotFound } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { isPublicPackage } from '../../http/package-visibility.ts'
import type { AlsoInTransaction, FileNaming, PackageCreationInfo } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import type { Digest } from '../../storage/digest.ts'
import type { SpoolEntry } from '../../storage/spool-entry.ts'
import { findBlobFiles, findRepositoryBlob } from './blob-queries.ts'
import { CONTAINER, property, UPLOADS } from './names.ts'
import { formatDigest } from './path.ts'
import type { ContentAnswer } from './source.ts'

const OCTET_STREAM = 'application/octet-stream'
const MEDIA_TYPE = /^[a-z0-9][a-z0-9!#$&^_.+-]*\/[a-z0-9][a-z0-9!#$&^_.+-]*$/i

/**
 * A blob of a hosted repository: one that a manifest names, or that was uploaded or mounted there. NotFound('blob'),
 * also when the blob store has lost it, so that clients send it again; of a GET that shows when it opens the source.
 * Warm, it runs no SQL.
 */
export async function findBlob(
  services: Services,
  owner: Owner,
  name: string,
  digest: Digest,
  method: 'GET' | 'HEAD',
): Promise<ContentAnswer> {
  const { packages, db } = services
  const key = formatDigest(digest)
  const repository = { ownerId: owner.id, type: CONTAINER, name }
  const blob = await packages.lookup.remember(repository, 'blob', [key], async () => {
    const found = await findRepositoryBlob(db, repository, digest)
    if (found === null) throw new NotFound('blob', key)
    return found
  })
  const open = async () => {
    const source = await packages.blobs.open(blob.sha256)
    if (source?.size === blob.size) return source
    source?.close()
    throw new NotFound('blob', key)
  }
  if (method === 'HEAD') (await open()).close()
  return {
    digest,
    mediaType: blob.mediaType !== null && MEDIA_TYPE.test(blob.mediaType) ? blob.mediaType : OCTET_STREAM,
    size: blob.size,
    source: open,
    lastModified: null,
    versionId: null,
    headers: {},
    cacheControl: cacheControl.artifact(await isPublicPackage(services, owner, CONTAINER, name)),
  }
}

/** A repository that somebody pushes to. */
export interface PushTarget {
  readonly owner: Owner
  /** Without the owner. */
  readonly name: string
  /** Who pushes. */
  readonly doer: Owner | null
}

/**
 * Files the bytes of a finished entry as a blob that no manifest names yet. Invalid('digest') when they are others than
 * promised. Twice is harmless; it then counts from anew until it expires.
 */
export async function fileBlob(
  { packages }: Services,
  target: PushTarget,
  content: SpoolEntry,
  promised: Digest,
  also?: AlsoInTransaction,
): Promise<void> {
  const actual = content.digests[promised.algorithm]
  if (actual !== promised.hex) {
    throw new Invalid(`these ${content.size} bytes are ${promised.algorithm}:${actual}`, 'digest')
  }
  const file = { ...waitingFile(content.digests.sha256), content }
  await packages.createPackageOrAddFileToExisting(waitingVersion(target), file, also)
}

/** Files a blob of another repository like an uploaded one; false when it is gone. */
export async function fileExistingBlob(
  { packages }: Services,
  target: PushTarget,
  { sha256, size }: { sha256: string; size: number },
): Promise<boolean> {
  const file = { ...waitingFile(sha256), blob: { hashSha256: sha256, size } }
  return (await packages.addFileOfExistingBlob(waitingVersion(target), file)) !== null
}

/**
 * Deletes a blob that no manifest of the repository names. MethodNotAllowed when one does, NotFound('blob').
 */
export async function removeBlob(services: Services, { owner, name, doer }: PushTarget, digest: Digest): Promise<void> {
  const files = await findBlobFiles(services.db, { ownerId: owner.id, name }, digest)
  const [file] = files
  if (file === undefined) throw new NotFound('blob', formatDigest(digest))
  if (owner.kind === 'mirror' || files.some(({ version }) => !version.isInternal)) {
    throw new MethodNotAllowed('manifests of this repository name the blob: delete them first')
  }
  const { removal } = services.packages
  // Somebody was quicker: with a manifest, or with this very deletion.
  if (!(await removal.removePackageFileAndVersionIfUnreferenced({ owner, ...file }, doer))) {
    await removeBlob(services, { owner, name, doer }, digest)
  }
}

function waitingVersion({ owner, name, doer }: PushTarget): PackageCreationInfo {
  return {
    ...{ owner, type: CONTAINER, name, version: UPLOADS, creator: doer, isInternal: true },
    ...{ semverCompatible: false, metadata: null },
    packageProperties: [{ name: property.repository, value: `${owner.lowerName}/${name}` }],
  }
}

function waitingFile(sha256: string): FileNaming {
  return {
    ...{ filename: `sha256_${sha256}`, isLead: false, overwrite: true },
    properties: [{ name: property.digest, value: `sha256:${sha256}` }],
  }
}
