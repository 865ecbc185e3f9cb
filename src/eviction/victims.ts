import { QueryTypes } from 'sequelize'
import type { Database } from '../db/connect.ts'
import type { FileTarget } from '../packages/package-removal.ts'
import type { Upstream } from '../upstream/upstreams.ts'
import { type Candidate, type Cursor, correctUses, findCandidates, noteLost } from './candidates.ts'
import { type Families, findFamilies, type Heirs } from './families.ts'
import type { Pins } from './pins.ts'

/** Candidates that are looked at together. */
const BATCH = 100

/** Something that may be dropped: a file, or with `heirs` the whole version whose lead file it is. */
export interface Victim {
  readonly upstream: Upstream
  readonly file: FileTarget
  /** What pins may call its version. */
  readonly references: readonly string[]
  /** ms since the epoch. */
  readonly usedAt: number
  /** Who needs which of its parts too; null: it has none. */
  readonly heirs: Heirs | null
}

/**
 * What of an upstream was last used before `before`, longest ago first: not what is pinned, withdrawn or kept by what
 * it belongs to. What rows say of uses is put right on the way, so that the next search finds it where it belongs.
 */
export async function* findVictims(
  db: Database,
  pins: Pins,
  upstream: Upstream,
  before: number,
): AsyncGenerator<Victim, void> {
  let after: Cursor = { lastUsedAt: 0, id: 0 }
  while (isFetchable(upstream)) {
    const candidates = await findCandidates(db, upstream, { before, after, limit: BATCH })
    const last = candidates.at(-1)
    if (last === undefined) return
    after = last
    yield* await choose(db, pins, upstream, candidates)
  }
}

async function choose(db: Database, pins: Pins, upstream: Upstream, candidates: Candidate[]): Promise<Victim[]> {
  const isPinned = await pins.matcher(upstream)
  const isWithdrawn = await withdrawnNames(db, upstream)
  const families = await familiesOf(db, upstream, candidates)
  const victims: Victim[] = []
  const later: { id: number; usedAt: number }[] = []
  const lost: number[] = []
  for (const candidate of candidates) {
    const { id, file } = candidate
    if (file === null) {
      lost.push(id)
      continue
    }
    const family = families?.byVersion.get(file.version.id)
    const usedAt = Math.max(candidate.usedAt, family?.usedAt ?? 0)
    if (usedAt > candidate.lastUsedAt) later.push({ id, usedAt })
    // A part goes when its version goes.
    const isPart = families !== null && family === undefined && !file.version.isInternal
    if (usedAt > candidate.lastUsedAt || isPart || isWithdrawn(file.package.name)) continue
    const references = [file.version.version, ...(family?.references ?? [])]
    if (isPinned(file.package.name, references)) continue
    victims.push({ upstream, file, references, usedAt, heirs: family === undefined ? null : families!.heirs })
  }
  await correctUses(db, later)
  await noteLost(db, lost)
  return victims
}

/** Which names the upstream denies although it had them: what is held of them could not come back. */
async function withdrawnNames(db: Database, { id, adapter }: Upstream): Promise<(name: string) => boolean> {
  const rows = await db.sequelize.query<{ kind: string; name: string }>(
    'SELECT kind, document_key AS name FROM upstream_document WHERE upstream_id = $1 AND gone_at > 0',
    { type: QueryTypes.SELECT, bind: [id] },
  )
  const gone = new Set(rows.map(({ kind, name }) => `${kind}:${name}`))
  return (name) => {
    if (gone.size === 0) return false
    const { kind, key } = adapter.nameDocument(name)
    return gone.has(`${kind}:${key}`)
  }
}

/** null: every file of this type stands for itself. */
async function familiesOf(db: Database, upstream: Upstream, candidates: Candidate[]): Promise<Families | null> {
  const { versionParts } = upstream.adapter
  if (versionParts === undefined) return null
  const leads = candidates.flatMap(({ file }) => (file?.file.isLead === true ? [file.version.id] : []))
  return findFamilies(db, upstream, versionParts, leads)
}

/** Whether what is dropped now could come back. */
export function isFetchable({ mode, client }: Upstream): boolean {
  return mode === 'online' && client.states().every(({ state }) => state === 'closed')
}

/** The same of several upstreams, longest ago first. */
export async function* findVictimsOfAll(
  db: Database,
  pins: Pins,
  upstreams: readonly Upstream[],
  before: number,
): AsyncGenerator<Victim, void> {
  const queues = upstreams.map((upstream) => findVictims(db, pins, upstream, before))
  const heads = await Promise.all(queues.map((queue) => queue.next()))
  for (;;) {
    let first = -1
    for (const [index, { done, value }] of heads.entries()) {
      const head = first === -1 ? undefined : heads[first]!.value
      if (done !== true && (head === undefined || value!.usedAt < head.usedAt)) first = index
    }
    if (first === -1) return
    yield heads[first]!.value as Victim
    heads[first] = await queues[first]!.next()
  }
}
