import { Invalid, NotFound } from '../../errors.ts'
import type { BlobRow } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import { parseDigest } from '../../storage/digest.ts'
import type { Repository } from './blob-queries.ts'
import { readAll } from './bytes.ts'
import { blobsOf, type Descriptor, distinct, type ManifestDocument } from './manifest-document.ts'
import { findBlobs, findManifests, sumSizes, type Transaction } from './manifest-queries.ts'
import { kindOfConfig, kindOfManifest } from './media-types.ts'
import { type ConfigFacts, MAX_CONFIG, readImageConfig } from './metadata.ts'

/** What a manifest names, as the repository has it. */
export interface ManifestContents {
  /** To be filed with the manifest, each once. */
  readonly blobs: readonly { readonly descriptor: Descriptor; readonly blob: BlobRow }[]
  /** Children of an index that are manifests: ids of their versions by digest. */
  readonly children: ReadonlyMap<string, number>
}

/**
 * Finds all that a manifest names. NotFound('manifest-blob') for what the repository has not, Invalid('size') for what
 * has another size (container.md §5). In a transaction the blobs are locked.
 */
export async function findContents(
  { db }: Services,
  repository: Repository,
  document: ManifestDocument,
  transaction: Transaction | null,
): Promise<ManifestContents> {
  const manifests = await findManifests(db, repository, digestsOf(document.manifests), transaction)
  // A type we do not know may be one whose content is no manifest for us, and came as a blob (OCI image-spec, Index).
  const others = document.manifests.filter(
    ({ digest, mediaType }) => kindOfManifest(mediaType) === null && !manifests.has(digest),
  )
  const named = [...blobsOf(document), ...others]
  const blobs = await findBlobs(db, repository, digestsOf(named), transaction)
  for (const descriptor of [...named, ...document.manifests]) {
    const found = blobs.get(descriptor.digest) ?? manifests.get(descriptor.digest)
    if (found === undefined) throw new NotFound('manifest-blob', descriptor.digest)
    if (found.size !== descriptor.size) {
      throw new Invalid(`${descriptor.digest} has ${found.size} bytes, not ${descriptor.size}`, 'size')
    }
  }
  return {
    blobs: distinct(named).map((descriptor) => ({ descriptor, blob: blobs.get(descriptor.digest)! })),
    children: new Map([...manifests].map(([digest, { versionId }]) => [digest, versionId])),
  }
}

/** What the config of an image tells; null where there is none that is understood, or it is too large. */
export async function readConfigOf(
  { packages }: Services,
  { config }: ManifestDocument,
  { blobs }: ManifestContents,
): Promise<ConfigFacts | null> {
  if (config === null || kindOfConfig(config.mediaType) === null || config.size > MAX_CONFIG) return null
  const held = blobs.find(({ descriptor }) => descriptor.digest === config.digest)
  const source = held === undefined ? null : await packages.blobs.open(held.blob.hashSha256)
  return source === null ? null : readImageConfig(config.mediaType, await readAll(source, MAX_CONFIG))
}

/** Bytes of the children of an index, with their blobs, by digest. */
export async function sizesOfChildren(
  { db }: Services,
  { children }: ManifestContents,
): Promise<ReadonlyMap<string, number>> {
  const sizes = await sumSizes(db, [...children.values()])
  return new Map([...children].map(([digest, versionId]) => [digest, sizes.get(versionId) ?? 0]))
}

function digestsOf(descriptors: readonly Descriptor[]) {
  return descriptors.map(({ digest }) => parseDigest(digest)!)
}
