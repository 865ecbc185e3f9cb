import type { PackageRow } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import { noteChange, type PackageRows, readPackage, type Transaction } from './queries.ts'

/**
 * Changes the rows of a package that exists: one transaction in which no other change of the package runs, then the
 * notices that drop what was rendered from it. `work` may run several times and tells whether it changed anything.
 */
export async function changePackage(
  services: Services,
  row: PackageRow,
  work: (rows: PackageRows, transaction: Transaction) => Promise<boolean>,
): Promise<void> {
  const { db, clock, packages } = services
  const changed = await db.inTransaction(async (transaction) => {
    const isChanged = await work(await readPackage(db, row.id, transaction), transaction)
    if (isChanged) await noteChange(db, row.id, clock.now(), transaction)
    return isChanged
  })
  if (!changed) return
  const { ownerId, type, lowerName } = row
  packages.lookup.forget(row)
  packages.events.emit({ action: 'changed', ownerId, type, lowerName })
}
