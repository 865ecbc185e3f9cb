import { join } from 'node:path'
import type { Config } from '../../config/config.ts'
import type { Database } from '../../db/connect.ts'
import {
  type AuditParts,
  auditBlobs,
  type BlobUse,
  type FaultyBlob,
  findOrphans,
  measureBlobs,
  usesOf,
} from '../../packages/blob-audit.ts'
import type { StoredBlob } from '../../storage/blob-store.ts'
import { FilesystemBlobStore } from '../../storage/filesystem-blob-store.ts'
import { Progress } from '../progress.ts'
import { formatAmount, formatBytes, formatCount, type Terminal } from '../terminal.ts'
import { type Report, reasonOf } from './report.ts'

const SUBJECT = 'blobs'
/** Of each kind of finding, so many are shown. */
const SHOWN = 10
const USES = 3
/** Ms: an upload that has put its content may take long to make the row. */
const PATIENCE = 24 * 60 * 60 * 1_000

interface Finding extends FaultyBlob {
  readonly uses: readonly BlobUse[]
}

/** How to look. */
export interface BlobChecks {
  /** Read every content and compute its digests. */
  readonly verify: boolean
  /** Show every finding. */
  readonly all: boolean
}

/** What is in the blob store, against the rows of the database. */
export async function checkBlobs(
  report: Report,
  { dataDir }: Config,
  db: Database,
  { stderr }: Terminal,
  checks: BlobChecks,
): Promise<void> {
  const folder = join(dataDir, 'packages')
  const blobs = new FilesystemBlobStore(folder)
  const shown = checks.all ? Number.POSITIVE_INFINITY : SHOWN
  try {
    await compareRows(report, { db, blobs }, stderr, checks.verify, shown)
    await countOrphans(report, { db, blobs }, stderr, folder, shown)
  } catch (error) {
    report.fail(
      SUBJECT,
      reasonOf(error),
      `see that ${folder} belongs to the user of the server, and that the database runs`,
    )
  } finally {
    report.beforeLine = () => {}
    blobs.close()
  }
}

async function compareRows(
  report: Report,
  parts: AuditParts,
  stderr: Terminal['stderr'],
  verify: boolean,
  shown: number,
): Promise<void> {
  const total = await measureBlobs(parts)
  const label = verify ? 'reading blobs' : 'comparing blobs'
  const bar = verify
    ? new Progress(stderr, { label, total: total.bytes, unit: 'bytes' })
    : new Progress(stderr, { label, total: total.count, unit: 'count' })
  report.beforeLine = () => bar.clear()
  const counts = new Map<FaultyBlob['fault'], number>()
  const first: Finding[] = []
  let harmless = 0
  const onSeen = (blobs: number, bytes: number) => bar.advance(verify ? bytes : blobs)
  for await (const fault of auditBlobs(parts, { verify, onSeen })) {
    const uses = await usesOf(parts, fault.blob, USES + 1)
    if (uses.length === 0 && fault.fault !== 'wrong digest') {
      harmless += 1
      continue
    }
    counts.set(fault.fault, (counts.get(fault.fault) ?? 0) + 1)
    if (first.length < shown) first.push({ ...fault, uses })
  }
  bar.clear()
  const all = `${formatAmount(total.count, 'row')}, ${formatBytes(total.bytes)}`
  if (harmless > 0) {
    const text = `${formatAmount(harmless, 'row')} of contents that are not as they were, and that nothing needs`
    report.warn(SUBJECT, text, '`entrepot gc` removes them')
  }
  if (counts.size === 0) {
    const what = verify ? 'its size and its digests' : 'its size (--verify also compares digests)'
    report.ok(SUBJECT, `${all}: every content that is needed is there and has ${what}`)
    return
  }
  const found = [...counts].map(([fault, count]) => `${formatCount(count)} ${fault}`).join(', ')
  report.fail(SUBJECT, `${all}: ${found}`, 'restore packages/ from a backup, or see each of them:')
  for (const finding of first) showFinding(report, finding)
  showRest(report, [...counts.values()].reduce((sum, count) => sum + count, 0) - first.length)
}

function showFinding(report: Report, { blob, fault, detail, uses }: Finding): void {
  const size = `${blob.size} bytes expected`
  report.detail(`${pathOf(blob.hashSha256)}: ${fault} (${detail === '' ? size : `${detail}; ${size}`})`)
  // An upload of the same bytes keeps a content that has the right size.
  const first = fault === 'wrong digest' ? `delete ${pathOf(blob.hashSha256)}, then ` : ''
  if (uses.length === 0) report.detail(`  nothing needs it: ${first}\`entrepot gc\` removes the row`)
  for (const { owner, isMirror, what } of uses.slice(0, USES)) {
    const mend = isMirror ? 'purge it from the mirror, it is fetched again' : 'delete that version and publish it again'
    report.detail(`  needed by ${owner}: ${what}; ${first}${mend}`)
  }
  if (uses.length > USES) report.detail('  and by more')
}

async function countOrphans(
  report: Report,
  parts: AuditParts,
  stderr: Terminal['stderr'],
  folder: string,
  shown: number,
): Promise<void> {
  const bar = new Progress(stderr, { label: 'looking for contents without a row', total: 1, unit: 'share' })
  report.beforeLine = () => bar.clear()
  let count = 0
  let bytes = 0
  const first: StoredBlob[] = []
  for await (const orphan of findOrphans(parts, Date.now() - PATIENCE, (share) => bar.to(share))) {
    count += 1
    bytes += orphan.size
    if (first.length < shown) first.push(orphan)
  }
  bar.clear()
  if (count === 0) {
    report.ok('orphans', 'every content older than a day has a row')
    return
  }
  report.warn(
    'orphans',
    `${formatAmount(count, 'content')} without a row, ${formatBytes(bytes)}, in ${folder}`,
    'they take room and harm nothing. Unless the database was restored from an old backup they can go: stop all servers, run this again, and delete what it then lists',
  )
  for (const { sha256, size } of first) report.detail(`${pathOf(sha256)} (${size} bytes)`)
  showRest(report, count - first.length)
}

function showRest(report: Report, count: number): void {
  if (count > 0) report.detail(`and ${formatCount(count)} more, which --all shows`)
}

/** Below the data directory. */
function pathOf(sha256: string): string {
  return `packages/${sha256.slice(0, 2)}/${sha256.slice(2, 4)}/${sha256}`
}
