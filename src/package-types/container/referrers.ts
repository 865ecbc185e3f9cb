import type { ReferrerRow } from './list-queries.ts'
import { OCI_INDEX } from './media-types.ts'
import type { ImageMetadata } from './metadata.ts'
import type { ReferrerDescriptor } from './source.ts'

/** A hosted manifest as referrers list it: all it takes was kept when it was pushed (container.md §7). */
export function toReferrer({ digest, size, metadataJson }: ReferrerRow): ReferrerDescriptor {
  const { media_type, artifact_type, annotations } = JSON.parse(metadataJson) as ImageMetadata
  return {
    mediaType: media_type,
    digest,
    size,
    ...(artifact_type === undefined ? {} : { artifactType: artifact_type }),
    ...(annotations === undefined ? {} : { annotations }),
  }
}

/** The index that lists referrers, as bytes: of a text Fastify would change the media type. */
export function renderReferrers(manifests: readonly ReferrerDescriptor[]): Buffer {
  return Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType: OCI_INDEX, manifests }))
}
