import { Invalid, NotFound } from '../../errors.ts'
import type { AlsoInTransaction, FileRecord, VersionRow } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import type { SpoolEntry } from '../../storage/spool-entry.ts'
import type { PushTarget } from './blobs.ts'
import { findContents, readConfigOf, sizesOfChildren } from './manifest-contents.ts'
import { distinct, type ManifestDocument, parseManifest } from './manifest-document.ts'
import { findManifest, findVersion } from './manifest-queries.ts'
import { metadataOfManifest, metadataOfTag } from './metadata.ts'
import { CONTAINER, MANIFEST_FILE, property } from './names.ts'
import { formatDigest, type Reference } from './path.ts'
import { fileBlobs, fileTag, removeUploads } from './queries.ts'

/** A manifest on its way in. */
export interface ManifestPush extends PushTarget {
  /** What the path names. */
  readonly reference: Reference
  /** More tags for it, where the path names a digest. */
  readonly tags: readonly string[]
  /** As sent, without parameters; null: not sent. */
  readonly contentType: string | null
  readonly bytes: Buffer
}

/** What was pushed. */
export interface PushedManifest {
  /** In the algorithm of the push. */
  readonly digest: string
  readonly subject: string | null
}

interface MovedTag {
  readonly version: VersionRow
  readonly removedFileId: number | null
}

/** Somebody filed the same bytes under the other algorithm's digest meanwhile. */
class Overtaken extends Error {}

const ATTEMPTS = 5

/**
 * Checks a manifest and files it, its blobs and its tags in one transaction (container.md §5); the same bytes twice are
 * no error. Throws Invalid('manifest'), Invalid('digest') when the bytes are others than the reference says,
 * NotFound('manifest-blob') and Invalid('size') for what it names, QuotaExceeded.
 */
export async function pushManifest(services: Services, push: ManifestPush): Promise<PushedManifest> {
  const document = parseManifest(push.bytes, push.contentType)
  const content = services.packages.spool.create()
  try {
    await content.append(push.bytes)
    await content.finish()
    const digest = digestOf(push.reference, content)
    for (let attempt = 1; ; attempt += 1) {
      try {
        await fileManifest(services, push, document, content, digest)
        return { digest, subject: document.subject?.digest ?? null }
      } catch (error) {
        if (!(error instanceof Overtaken) || attempt === ATTEMPTS) throw error
      }
    }
  } finally {
    await content.discard()
  }
}

/**
 * Deletes a tag, or a manifest with all tags that name it (container.md §8). NotFound('manifest'). Of a mirror it
 * deletes what is held.
 */
export async function removeManifest(
  { db, packages }: Services,
  { owner, name, doer }: PushTarget,
  reference: Reference,
): Promise<void> {
  const found = await findVersion(db, { ownerId: owner.id, name }, reference)
  const isRemoved = found !== null && (await packages.removal.removePackageVersion({ owner, ...found }, doer))
  if (!isRemoved) throw new NotFound('manifest', 'tag' in reference ? reference.tag : formatDigest(reference.digest))
}

function digestOf(reference: Reference, { digests }: SpoolEntry): string {
  if ('tag' in reference) return `sha256:${digests.sha256}`
  const { algorithm, hex } = reference.digest
  if (digests[algorithm] !== hex) {
    throw new Invalid(`the manifest's digest is ${algorithm}:${digests[algorithm]}`, 'digest')
  }
  return formatDigest(reference.digest)
}

async function fileManifest(
  services: Services,
  push: ManifestPush,
  document: ManifestDocument,
  content: SpoolEntry,
  digest: string,
): Promise<void> {
  const { packages, db, models, clock } = services
  const { owner, name, doer } = push
  const repository = { ownerId: owner.id, name }
  const tags = [...new Set(['tag' in push.reference ? [push.reference.tag] : [], push.tags].flat())]
  const bytes = { digest: { algorithm: 'sha256', hex: content.digests.sha256 } } as const
  // One version for one manifest, whichever digest names it.
  const known = await findManifest(db, repository, bytes)
  // Before the bytes are stored and others wait for the transaction; what counts is checked again in it.
  const contents = await findContents(services, repository, document, null)
  const config = await readConfigOf(services, document, contents)
  const metadata = metadataOfManifest(document, config, false, content.size, await sizesOfChildren(services, contents))

  let moved: MovedTag[] = []
  const also: AlsoInTransaction = async ({ package: row, version, blob, transaction }) => {
    const first = await findManifest(db, repository, bytes, transaction)
    if (first?.versionId !== version.id) throw new Overtaken()
    const { blobs } = await findContents(services, repository, document, transaction)
    const writing = { db, models, transaction, now: clock.now() }
    const named = blobs.map(({ descriptor, blob: { id } }) => ({ ...descriptor, blobId: id }))
    await fileBlobs(writing, version.id, named)
    const target = { packageId: row.id, creatorId: doer?.id ?? 0, blobId: blob.id, digest }
    const tagged = { ...target, mediaType: document.mediaType, metadata: metadataOfTag(metadata) }
    moved = []
    for (const tag of tags) {
      const filed = await fileTag(writing, tag, tagged, () => packages.quota.checkCount(doer, owner, transaction))
      if (filed.version !== null) moved.push({ version: filed.version, removedFileId: filed.removedFileId })
    }
    await removeUploads(
      writing,
      row.id,
      named.map(({ blobId }) => blobId),
    )
    // Blobs of manifests count for each of them.
    await packages.quota.checkFile(doer, owner, CONTAINER, 0, transaction)
  }
  const record = await packages.createPackageOrAddFileToExisting(
    {
      ...{ owner, type: CONTAINER, name, version: known?.reference ?? digest, creator: doer },
      ...{ semverCompatible: false, metadata },
      packageProperties: [{ name: property.repository, value: `${owner.lowerName}/${name}` }],
      versionProperties: propertiesOf(document),
    },
    {
      ...{ filename: MANIFEST_FILE, content, isLead: true, overwrite: true },
      properties: [
        { name: property.digest, value: digest },
        { name: property.mediaType, value: document.mediaType },
      ],
    },
    also,
  )
  announce(services, push, record, moved)
}

function propertiesOf({ manifests, subject }: ManifestDocument) {
  return [
    ...distinct(manifests).map(({ digest }) => ({ name: property.reference, value: digest })),
    ...(subject === null ? [] : [{ name: property.subject, value: subject.digest }]),
  ]
}

/** The version of the manifest is announced by the package service; its tags are versions as well. */
function announce(
  { packages }: Services,
  { owner, doer }: ManifestPush,
  { package: row }: FileRecord,
  moved: readonly MovedTag[],
): void {
  for (const { version, removedFileId } of moved) {
    if (removedFileId !== null) packages.events.emit({ action: 'file-removed', fileId: removedFileId })
    const named = { type: CONTAINER, name: row.name, version: version.version }
    packages.events.emit({ action: 'created', owner, ...named, doer, rows: { package: row, version } })
  }
}
