import type { BlobStore } from '../../storage/blob-store.ts'
import { readAll } from './bytes.ts'
import type { ReferrerRow } from './list-queries.ts'
import { MAX_MANIFEST, parseManifest } from './manifest-document.ts'
import { OCI_INDEX } from './media-types.ts'
import { type ImageMetadata, MAX_PART } from './metadata.ts'
import type { ReferrerDescriptor } from './source.ts'

/**
 * A hosted manifest as referrers list it, with all its annotations (container.md §7). All that takes was kept when it
 * was pushed, except for large annotations.
 */
export async function toReferrer(blobs: BlobStore, row: ReferrerRow): Promise<ReferrerDescriptor> {
  const { digest, size, metadataJson } = row
  const { media_type, artifact_type, ...kept } = JSON.parse(metadataJson) as ImageMetadata
  const annotations = kept.annotations ?? (size > MAX_PART ? await readAnnotations(blobs, row, media_type) : undefined)
  return {
    mediaType: media_type,
    digest,
    size,
    ...(artifact_type === undefined ? {} : { artifactType: artifact_type }),
    ...(annotations === undefined ? {} : { annotations }),
  }
}

/** Undefined without any, and for a manifest that the store has lost. */
async function readAnnotations(blobs: BlobStore, { sha256 }: ReferrerRow, mediaType: string) {
  const source = await blobs.open(sha256)
  if (source === null) return undefined
  const { annotations } = parseManifest(await readAll(source, MAX_MANIFEST), mediaType)
  return Object.keys(annotations).length === 0 ? undefined : annotations
}

/** The index that lists referrers, as bytes: of a text Fastify would change the media type. */
export function renderReferrers(manifests: readonly ReferrerDescriptor[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }))
}
