import { QueryTypes, type Transaction } from 'sequelize'
import type { Database } from '../../db/connect.ts'
import type { Models } from '../../models/index.ts'
import { refType } from '../../packages/package-descriptor.ts'
import type { VersionRow } from '../../packages/package-info.ts'
import { fileTable, type Raw, versionTable } from '../../packages/rows.ts'
import { batches, IS_DIGEST, IS_LEAD } from './manifest-queries.ts'
import { MANIFEST_FILE, property, UPLOADS } from './names.ts'

export type { Transaction } from 'sequelize'

/** Where rows are written. */
export interface Writing {
  readonly db: Database
  readonly models: Models
  readonly transaction: Transaction
  /** Ms. */
  readonly now: number
}

/** A blob that a manifest names, to be filed with it. */
export interface NamedBlob {
  readonly digest: string
  readonly mediaType: string
  readonly blobId: number
}

/** What a tag is to point to. */
export interface TagTarget {
  readonly packageId: number
  /** Kept for a tag that is new or moves; 0: nobody. */
  readonly creatorId: number
  /** Of the manifest. */
  readonly blobId: number
  /** Of the manifest, in the algorithm in which the tag is to answer. */
  readonly digest: string
  readonly mediaType: string
  readonly metadata: object
}

/** What became of a tag; `removedFileId` is the lead file it had before. */
export interface FiledTag {
  /** The tag's, as it is now, but for the count of downloads; null: nothing has changed. */
  readonly version: VersionRow | null
  readonly removedFileId: number | null
}

/** Files blobs under a manifest's version, those that are not there yet. */
export async function fileBlobs(writing: Writing, versionId: number, blobs: readonly NamedBlob[]): Promise<void> {
  const { db, models, transaction, now: createdAt } = writing
  const held = await readFileIds(writing, versionId)
  const missing = blobs.filter(({ digest }) => !held.has(digest))
  if (missing.length === 0) return
  for (const batch of batches(missing)) {
    const files = batch.map(({ digest, blobId }) => {
      const name = digest.replace(':', '_')
      return { versionId, blobId, name, lowerName: name, compositeKey: digest, isLead: false, createdAt }
    })
    await fileTable.insertMany(db.sequelize, files, transaction)
  }
  const ids = await readFileIds(writing, versionId)
  for (const batch of batches(missing)) {
    const properties = batch.flatMap(({ digest, mediaType }) => propertiesOf(ids.get(digest)!, digest, mediaType))
    await models.packageProperty.bulkCreate(properties, { transaction })
  }
}

/**
 * Lets a tag point to a manifest. A tag that moves keeps its version, with the count of downloads, and gets another
 * lead file, creator and time. `onNew` is called before a version is made and may refuse it.
 */
export async function fileTag(
  writing: Writing,
  tag: string,
  target: TagTarget,
  onNew: () => Promise<void> = async () => {},
): Promise<FiledTag> {
  const { db, models, transaction, now: createdAt } = writing
  const { packageId, blobId, digest, mediaType } = target
  const held = await readTag(writing, packageId, tag)
  if (held?.blobId === blobId && held.digest === digest && held.mediaType === mediaType) {
    return { version: null, removedFileId: null }
  }
  if (held === null) await onNew()
  const version = await (held === null ? insertTag(writing, tag, target) : moveTag(writing, held, tag, target))
  const names = { name: MANIFEST_FILE, lowerName: MANIFEST_FILE, compositeKey: '', isLead: true }
  const lead = { versionId: version.id, blobId, ...names, createdAt }
  const file = await fileTable.insert(db.sequelize, lead, transaction)
  await models.packageProperty.bulkCreate(propertiesOf(file.id, digest, mediaType), { transaction })
  return { version, removedFileId: held?.fileId ?? null }
}

async function insertTag(writing: Writing, tag: string, target: TagTarget): Promise<VersionRow> {
  const { db, models, transaction } = writing
  const version = await versionTable.insert(db.sequelize, versionOf(writing, tag, target), transaction)
  const tagged = { refType: refType.version, refId: version.id, name: property.tagged, value: '' } as const
  await models.packageProperty.create(tagged, { transaction })
  return version
}

async function moveTag(writing: Writing, held: HeldTag, tag: string, target: TagTarget): Promise<VersionRow> {
  const { models, transaction } = writing
  const version = { id: held.versionId, ...versionOf(writing, tag, target) }
  const { creatorId, createdAt, metadataJson } = version
  await models.packageVersion.update({ creatorId, createdAt, metadataJson }, { where: { id: version.id }, transaction })
  if (held.fileId !== null) await deleteFiles(writing, [held.fileId])
  return version
}

function versionOf({ now: createdAt }: Writing, tag: string, target: TagTarget): Omit<VersionRow, 'id'> {
  const { packageId, creatorId } = target
  const metadataJson = JSON.stringify(target.metadata)
  const names = { packageId, version: tag, lowerVersion: tag, isInternal: false }
  return { creatorId, createdAt, metadataJson, downloadCount: 0, lastDownloadedAt: 0, ...names }
}

/** Takes blobs that a manifest now names from those that none does. */
export async function removeUploads(writing: Writing, packageId: number, blobIds: readonly number[]): Promise<void> {
  for (const ids of batches(blobIds)) {
    const rows = await writing.db.sequelize.query<{ id: number }>(
      `SELECT f.id AS id FROM package_version v JOIN package_file f ON f.version_id = v.id
       WHERE v.package_id = $1 AND v.lower_version = '${UPLOADS}' AND f.blob_id IN (${ids.join(', ')})`,
      { type: QueryTypes.SELECT, bind: [packageId], transaction: writing.transaction },
    )
    await deleteFiles(
      writing,
      rows.map(({ id }) => Number(id)),
    )
  }
}

/** The tags over the manifest of a digest's version, which go with it; none for the version of a tag. */
export async function versionsRemovedWith(
  db: Database,
  { id, packageId, version }: VersionRow,
  transaction: Transaction,
): Promise<VersionRow[]> {
  if (!version.includes(':')) return []
  const rows = await db.sequelize.query<Raw>(
    `SELECT ${versionTable.columns} FROM package_file manifest
     JOIN package_file f ON f.blob_id = manifest.blob_id AND ${IS_LEAD}
     JOIN package_version v ON v.id = f.version_id AND v.package_id = $2 AND v.is_internal = 0 AND NOT (${IS_DIGEST})
     WHERE manifest.version_id = $1 AND manifest.is_lead = 1 ORDER BY v.id`,
    { type: QueryTypes.SELECT, bind: [id, packageId], transaction },
  )
  return rows.map((raw) => versionTable.read(raw)!)
}

/** Ids of the files of a version, by composite key. */
async function readFileIds({ db, transaction }: Writing, versionId: number): Promise<Map<string, number>> {
  const rows = await db.sequelize.query<{ id: number; digest: string }>(
    'SELECT f.id AS id, f.composite_key AS digest FROM package_file f WHERE f.version_id = $1',
    { type: QueryTypes.SELECT, bind: [versionId], transaction },
  )
  return new Map(rows.map(({ id, digest }) => [digest, Number(id)]))
}

/** Where a tag points now; all but the version is null for one that has lost its manifest. */
interface HeldTag {
  readonly versionId: number
  readonly fileId: number | null
  readonly blobId: number | null
  readonly digest: string | null
  readonly mediaType: string | null
}

/** Locked: two who push one tag at the same time take turns. */
async function readTag({ db, transaction }: Writing, packageId: number, tag: string): Promise<HeldTag | null> {
  const [row] = await db.sequelize.query<HeldTag>(
    `SELECT v.id AS versionId, f.id AS fileId, f.blob_id AS blobId, d.value AS digest, m.value AS mediaType
     FROM package_version v
     LEFT JOIN package_file f ON f.version_id = v.id AND ${IS_LEAD}
     LEFT JOIN package_property m ON m.ref_type = ${refType.file} AND m.ref_id = f.id AND m.name = '${property.mediaType}'
     LEFT JOIN package_property d ON d.ref_type = ${refType.file} AND d.ref_id = f.id AND d.name = '${property.digest}'
     WHERE v.package_id = $1 AND v.lower_version = $2${db.dialect === 'sqlite' ? '' : ' FOR UPDATE'}`,
    { type: QueryTypes.SELECT, bind: [packageId, tag], transaction },
  )
  return row ?? null
}

async function deleteFiles({ models, transaction }: Writing, ids: number[]): Promise<void> {
  if (ids.length === 0) return
  await models.packageProperty.destroy({ where: { refType: refType.file, refId: ids }, transaction })
  await models.packageFile.destroy({ where: { id: ids }, transaction })
}

function propertiesOf(fileId: number, digest: string, mediaType: string) {
  return [
    { refType: refType.file, refId: fileId, name: property.digest, value: digest },
    { refType: refType.file, refId: fileId, name: property.mediaType, value: mediaType },
  ] as const
}

/**
 * The tag `latest`, and every manifest that a tag, an index of the repository, or, as what it speaks of, a manifest of
 * the repository needs: the others are tags, and manifests that nothing leads to (gitea-model.md §11).
 */
export async function versionsKeptByCleanup(
  db: Database,
  packageId: number,
  transaction: Transaction | null,
): Promise<ReadonlySet<number>> {
  const rows = await db.sequelize.query<{ id: number }>(
    `SELECT v.id AS id FROM package_version v
     LEFT JOIN package_file f ON f.version_id = v.id AND ${IS_LEAD}
     LEFT JOIN package_property s ON s.ref_type = ${refType.version} AND s.ref_id = v.id AND s.name = '${property.subject}'
     WHERE v.package_id = $1 AND v.is_internal = 0 AND (v.lower_version = 'latest' OR ${IS_DIGEST} AND (
       EXISTS (SELECT 1 FROM package_file t JOIN package_version w ON w.id = t.version_id
               WHERE t.blob_id = f.blob_id AND t.is_lead = 1 AND w.package_id = $1 AND w.is_internal = 0
                 AND w.version NOT LIKE '%:%')
       OR EXISTS (SELECT 1 FROM package_version w
                  JOIN package_property r ON r.ref_type = ${refType.version} AND r.ref_id = w.id
                    AND r.name = '${property.reference}' AND r.value = v.version
                  WHERE w.package_id = $1 AND w.is_internal = 0)
       OR EXISTS (SELECT 1 FROM package_version w
                  WHERE w.package_id = $1 AND w.is_internal = 0 AND w.version = s.value)))`,
    { type: QueryTypes.SELECT, bind: [packageId], transaction },
  )
  return new Set(rows.map(({ id }) => Number(id)))
}
