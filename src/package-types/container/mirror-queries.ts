import { QueryTypes, type Transaction } from 'sequelize'
import type { Owner } from '../../auth/owner.ts'
import type { Database } from '../../db/connect.ts'
import { CONTAINER, MANIFEST_FILE, property } from './names.ts'

/** The digest of a manifest that the mirror holds of a repository and that names the blob; null when none does. */
export async function findManifestNaming(
  db: Database,
  owner: Owner,
  repository: string,
  blob: string,
): Promise<string | null> {
  const [row] = await db.sequelize.query<{ version: string }>(
    `SELECT v.version AS version FROM package p
     JOIN package_version v ON v.package_id = p.id AND v.is_internal = 0
     JOIN package_property named ON named.ref_type = 0 AND named.ref_id = v.id
       AND named.name = '${property.blob}' AND named.value = $4
     WHERE p.owner_id = $1 AND p.type = $2 AND p.lower_name = $3 LIMIT 1`,
    { type: QueryTypes.SELECT, bind: [owner.id, CONTAINER, repository, blob] },
  )
  return row?.version ?? null
}

/**
 * Adds what a config has told to the metadata of its manifest's version, and of the tags that name the same manifest.
 */
export async function addConfigFacts(
  db: Database,
  versionId: number,
  facts: object,
  transaction: Transaction,
): Promise<void> {
  const rows = await db.sequelize.query<{ id: number; metadata: string }>(
    `SELECT same.id AS id, same.metadata_json AS metadata FROM package_version v
     JOIN package_file lead ON lead.version_id = v.id AND lead.is_lead = 1 AND lead.lower_name = '${MANIFEST_FILE}'
     JOIN package_file other ON other.blob_id = lead.blob_id AND other.is_lead = 1
     JOIN package_version same ON same.id = other.version_id AND same.package_id = v.package_id
     WHERE v.id = $1`,
    { type: QueryTypes.SELECT, bind: [versionId], transaction },
  )
  for (const { id, metadata } of rows) {
    const merged = JSON.stringify({ ...(JSON.parse(metadata) as object | null), ...facts })
    await db.sequelize.query('UPDATE package_version SET metadata_json = $2 WHERE id = $1', {
      bind: [id, merged],
      transaction,
    })
  }
}
