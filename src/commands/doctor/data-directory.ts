import { randomUUID } from 'node:crypto'
import { rm, stat, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../../config/config.ts'
import { formatBytes } from '../terminal.ts'
import { type Report, reasonOf } from './report.ts'

const SUBJECT = 'data directory'
const MIB = 2 ** 20
/** Below these uploads fail soon, and now. */
const LITTLE = { bytes: 2_048 * MIB, files: 100_000 }
const NOTHING = { bytes: 128 * MIB, files: 1_000 }

/** Whether there is a data directory, so that what is in it can be looked at. */
export async function checkDataDirectory(report: Report, { dataDir }: Config): Promise<boolean> {
  if (!(await isFolder(report, dataDir))) return false
  const packages = join(dataDir, 'packages')
  await checkWritable(report, SUBJECT, [dataDir, join(dataDir, 'spool')])
  await checkWritable(report, 'blob store', [packages, join(packages, 'incoming'), join(packages, 'uploads')])
  await checkFileSystem(report, dataDir)
  await checkSpace(report, dataDir)
  return true
}

async function isFolder(report: Report, path: string): Promise<boolean> {
  try {
    if ((await stat(path)).isDirectory()) return true
    report.fail(SUBJECT, `${path} is not a folder`, 'set dataDir (ENTREPOT_DATA_DIR) to a folder')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
      const advice =
        'the first start makes it; if there should be data, set dataDir (ENTREPOT_DATA_DIR) or change the folder'
      report.warn(SUBJECT, `${path} does not exist yet`, advice)
    } else report.fail(SUBJECT, reasonOf(error), `let the user of the server enter the folder; ${whoIAm()}`)
  }
  return false
}

/** Nothing is made that is not there yet: it would belong to whoever runs this. */
async function checkWritable(report: Report, subject: string, folders: readonly string[]): Promise<void> {
  for (const folder of folders) {
    const problem = await whyNotWritable(folder)
    if (problem === null) continue
    report.fail(subject, `${folder} cannot be written: ${problem}`, `give it to the user of the server; ${whoIAm()}`)
    return
  }
  report.ok(subject, `${folders[0]} can be written`)
}

async function checkFileSystem(report: Report, dataDir: string): Promise<void> {
  const devices = await Promise.all(['spool', 'packages'].map((name) => deviceOf(join(dataDir, name), dataDir)))
  if (devices[0] === devices[1]) report.ok('file systems', 'spool and packages are on one')
  else {
    report.warn(
      'file systems',
      'spool and packages are on two: every upload is copied instead of renamed',
      'mount the data directory as a whole',
    )
  }
}

async function checkSpace(report: Report, dataDir: string): Promise<void> {
  const folders = [dataDir, join(dataDir, 'packages')]
  const seen = new Set<number>()
  for (const folder of folders) {
    const device = await deviceOf(folder, dataDir)
    if (seen.has(device)) continue
    seen.add(device)
    const { bavail, bsize, files, ffree } = await statfs(folder).catch(() => statfs(dataDir))
    const bytes = bavail * bsize
    const free = `${formatBytes(bytes)} free below ${folder}`
    // File systems that make inodes as needed say that there are none.
    const inodes = files === 0 ? Number.POSITIVE_INFINITY : ffree
    const text = inodes < LITTLE.files ? `${free}, and room for ${inodes} files` : free
    const advice = 'make room: remove versions, purge mirrors, then `entrepot gc`; or enlarge the disk'
    if (bytes < NOTHING.bytes || inodes < NOTHING.files) report.fail('disk', text, advice)
    else if (bytes < LITTLE.bytes || inodes < LITTLE.files) report.warn('disk', text, advice)
    else report.ok('disk', text)
  }
}

/** By trying: rights alone do not tell of read-only file systems. Null: it is, or it is not there yet. */
async function whyNotWritable(folder: string): Promise<string | null> {
  const path = join(folder, `.doctor-${randomUUID()}`)
  try {
    await writeFile(path, 'check', { flag: 'wx', mode: 0o600 })
    return null
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? null : reasonOf(error)
  } finally {
    await rm(path, { force: true }).catch(() => {})
  }
}

async function deviceOf(folder: string, otherwise: string): Promise<number> {
  return (await stat(folder).catch(() => stat(otherwise))).dev
}

function whoIAm(): string {
  return `this was tried by uid ${process.getuid?.() ?? '?'}`
}
