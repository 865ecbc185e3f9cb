import type { Transaction } from 'sequelize'
import type { Accounts } from '../auth/accounts.ts'
import { type SecretBox, SecretUnreadable } from '../auth/secret-box.ts'
import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { runAlone } from '../db/lock.ts'
import { Conflict, NotFound, RegistryError, Unprocessable } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Models } from '../models/index.ts'
import type { Upstream as UpstreamRow } from '../models/upstream.ts'
import { findClash } from './distinct-upstreams.ts'
import {
  change,
  checkUpstreamName,
  exposesCredentials,
  type RestUpstream,
  readRestUpstream,
  takeSecrets,
  type UpstreamChanges,
} from './rest-upstream.ts'
import { columnsOf, declaredIn, openAsFarAsPossible, openStored } from './stored-upstream.ts'
import type { UpstreamSettings } from './upstream-settings.ts'
import type { UpstreamState } from './upstream-state.ts'
import type { Upstreams } from './upstreams.ts'

/** ms after which a change that another replica made is seen even if its notice was lost. */
const NOTICE_LOST = 10_000
/** ms that a change waits for those that others are making. */
const PATIENCE = 10_000

/** What RestUpstreams is built from. */
export interface RestUpstreamsParts {
  readonly db: Database
  readonly models: Models
  readonly accounts: Accounts
  readonly notices: Notices
  readonly clock: Clock
  readonly log: Log
  readonly box: SecretBox
  readonly upstreams: Upstreams
  /** Is called where an upstream was put to work, changed or taken away: what was believed of it counts no more. */
  readonly onChanged: (upstreamId: number) => void
  /** Deletes what is held of an upstream that is gone. */
  readonly purge: (row: { id: number; ownerId: number; type: string }) => Promise<void>
  /** Has the end of the process wait for work that no answer waits for. */
  readonly runBehind: (work: Promise<void>) => void
}

interface Known {
  readonly row: UpstreamRow
  /** Why it is not at work; null: it is. */
  readonly problem: string | null
}

/**
 * The upstreams that were made over REST. Rows are what counts: every replica puts to work what it finds there, and
 * looks again when another one says that something changed, or after ten seconds (pull-through.md §6.3, §12).
 */
export class RestUpstreams {
  readonly #parts: RestUpstreamsParts
  readonly #fresh: Cache<true>
  readonly #known = new Map<number, Known>()
  #globalCa: string | null = null
  #turn: Promise<unknown> = Promise.resolve()
  #changing: Promise<unknown> = Promise.resolve()

  constructor(parts: RestUpstreamsParts) {
    this.#parts = parts
    this.#fresh = new Cache({ name: 'rest-upstreams', max: 1, ttl: NOTICE_LOST }, parts.notices)
    parts.accounts.reserveBy((lowerName, transaction) => this.#isAlias(lowerName, transaction))
  }

  /** Puts to work what is there, once files have declared theirs, and deletes what a deletion left over. */
  async open(globalCa: string): Promise<void> {
    this.#globalCa = globalCa
    await this.#reread()
    for (const { row } of this.#known.values()) await this.#alignOwner(row)
    for (const row of await this.#rows()) if (row.removedAt !== null) this.#purgeBehind(row)
  }

  /** Makes sure that changes of other replicas are seen here; no SQL when warm. It never rejects. */
  async refresh(): Promise<void> {
    if (this.#globalCa === null) return
    await this.#fresh.get('all', async () => {
      // One after the other, so that what was read first is not put to work last.
      const reading = this.#turn.then(() => this.#reread())
      // Counts as read: requests that need no database must not wait for one that does not answer.
      this.#turn = reading.catch((err: unknown) => this.#parts.log.warn({ err }, 'upstreams not read again'))
      await this.#turn
      return true
    })
  }

  /** Those that cannot be put to work. */
  broken(): UpstreamState[] {
    return [...this.#known.values()].flatMap(({ row, problem }) => {
      if (problem === null) return []
      const { owner, url = '' } = declaredIn(row)
      const { name, type, mode } = row
      return [{ name, type, owner, url, mode, origin: 'rest', problem, origins: [], settings: null } as const]
    })
  }

  /** Checks an input as `create` does, without what it has in common with others. Throws Unprocessable. */
  read(name: string, input: RestUpstream): UpstreamSettings {
    return readRestUpstream(name, takeSecrets(input), this.#parts.upstreams.adapters, this.#globalCa ?? '')
  }

  /**
   * Makes an upstream and its mirror, and puts it to work everywhere. Unprocessable for what is no upstream, and for
   * credentials that everybody would use without being asked for; Conflict for names that others have.
   */
  async create(name: string, input: RestUpstream, { confirmsExposure }: { confirmsExposure: boolean }): Promise<void> {
    checkUpstreamName(name)
    const stored = takeSecrets(input)
    const settings = this.read(name, input)
    requireConfirmed(settings, confirmsExposure)
    const { db, upstreams, box } = this.#parts
    await this.#alone(async () => {
      await this.#requireFree(settings, null)
      await this.#requireKeptShut(settings, confirmsExposure)
      const owner = await upstreams.ensureOwner(settings, [settings])
      const isDeclared = (one: string) => upstreams.find(one) !== null
      await db.inTransaction(async (transaction) => {
        const row = await upstreams.rows.ofRest(settings, owner.id, isDeclared, transaction)
        const values = {
          ...columnsOf(row.id, row.revision + 1, stored, box),
          name,
          ownerId: owner.id,
          mode: 'online',
          removedAt: null,
        } as const
        await upstreams.rows.write(row, settings, values, transaction)
      })
    })
  }

  /** Changes what is given of it. Throws NotFound, Conflict for one that a file declares, and as `create`. */
  async update(
    name: string,
    changes: UpstreamChanges,
    { confirmsExposure }: { confirmsExposure: boolean },
  ): Promise<void> {
    const { db, upstreams, box } = this.#parts
    await this.#alone(async () => {
      const { row } = this.#get(name)
      const before = openAsFarAsPossible(row, box)
      const stored = change(before, changes)
      const settings = readRestUpstream(name, stored, upstreams.adapters, this.#globalCa ?? '')
      const exposedBefore = upstreams.find(name)?.settings
      if (exposedBefore === undefined || !exposesCredentials(exposedBefore))
        requireConfirmed(settings, confirmsExposure)
      await this.#requireFree(settings, row.id)
      await this.#requireKeptShut(settings, confirmsExposure)
      await upstreams.ensureOwner(settings, [settings])
      await db.inTransaction(async (transaction) => {
        const locked = await this.#lock(row.id, transaction)
        // What was read last is older where reading failed just now.
        if (locked.revision !== row.revision) {
          throw new Conflict('upstream', `${name} has just been changed by somebody else; try again`)
        }
        await upstreams.rows.write(
          locked,
          settings,
          columnsOf(locked.id, locked.revision + 1, stored, box),
          transaction,
        )
      })
    })
  }

  /**
   * Takes it out of work everywhere, and then deletes what is held; the mirror's name stays, and digests are remembered.
   * Throws NotFound, Conflict for one that a file declares or an organization attaches.
   */
  async remove(name: string): Promise<void> {
    const { db, models, clock } = this.#parts
    const row = await this.#alone(async () => {
      const known = this.#get(name)
      await db.inTransaction(async (transaction) => {
        const locked = await this.#lock(known.row.id, transaction)
        const attached = await models.upstreamAttachment.count({ where: { upstreamId: locked.id }, transaction })
        if (attached > 0) throw new Conflict('upstream', `${name} is attached to ${attached} organizations`)
        const values = { settings: null, sealedSecrets: null, removedAt: clock.now(), revision: locked.revision + 1 }
        await locked.update({ ...values, updatedAt: clock.now() }, { transaction })
      })
      return known.row
    })
    this.#purgeBehind(row)
  }

  /** One change after the other, everywhere: what they have in common with each other is checked before they are written. */
  async #alone<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#changing.then(() =>
      runAlone(this.#parts.db, 'upstreams', PATIENCE, async () => {
        await this.#look()
        return work()
      }),
    )
    this.#changing = run.catch(() => {})
    const done = await run
    if (done === null) throw new Conflict('upstream', 'other changes of upstreams take long just now; try again')
    await this.#look()
    return done.result
  }

  async #look(): Promise<void> {
    this.#fresh.invalidate('all')
    await this.refresh()
  }

  async #reread(): Promise<void> {
    const { upstreams, onChanged } = this.#parts
    const all = await this.#rows()
    const rest = all.filter(({ id, settings }) => settings !== null && upstreams.findById(id)?.origin !== 'file')
    for (const id of this.#known.keys()) {
      if (rest.some((row) => row.id === id)) continue
      this.#known.delete(id)
      if (upstreams.findById(id)?.origin !== 'file') upstreams.remove(id)
      onChanged(id)
    }
    const changed = rest.filter((row) => !isSame(this.#known.get(row.id), row))
    for (const row of changed) await this.#apply(row)
    // What stood in the way may have gone meanwhile.
    for (const { row, problem } of this.#known.values()) if (problem !== null) await this.#apply(row)
    for (const { name, mode } of all) upstreams.switch(name, mode)
  }

  async #apply(row: UpstreamRow): Promise<void> {
    const { upstreams, accounts, log, onChanged } = this.#parts
    const before = this.#known.get(row.id)
    const problem = await this.#ready(row).then(
      async (settings) => {
        const owner = await accounts.findById(row.ownerId)
        if (owner === null) return 'its mirror is gone'
        upstreams.put({ id: row.id, settings, owner, mode: row.mode, origin: 'rest' })
        return null
      },
      (error: unknown) => {
        if (error instanceof RegistryError || error instanceof SecretUnreadable) return error.message
        throw error
      },
    )
    if (problem !== null) {
      const { id, ownerId, type, name } = row
      upstreams.remove(id, { ownerId, type, name, problem })
      if (problem !== before?.problem) log.error({ upstream: row.name, problem }, 'upstream not put to work')
    }
    this.#known.set(row.id, { row, problem })
    onChanged(row.id)
  }

  /** Throws RegistryError or SecretUnreadable. */
  async #ready(row: UpstreamRow): Promise<UpstreamSettings> {
    const stored = openStored(row, this.#parts.box)
    const settings = readRestUpstream(row.name, stored, this.#parts.upstreams.adapters, this.#globalCa ?? '')
    await this.#requireFree(settings, row.id)
    return settings
  }

  /** Throws Conflict when somebody else has what the upstream claims; `id`: its own, null for a new one. */
  async #requireFree(settings: UpstreamSettings, id: number | null): Promise<void> {
    const { upstreams, accounts } = this.#parts
    const others = upstreams.all().filter((one) => one.id !== id)
    const owned = others.find((one) => one.owner.lowerName === settings.owner.toLowerCase())
    const namesake = others.find((one) => one.settings.name === settings.name)
    const clash = findClash([...others.map((one) => one.settings), settings])
    const other = namesake ?? owned ?? (clash === null ? null : upstreams.find(clash.first.name))
    if (other) {
      const file = other.origin === 'file' ? ` (${other.settings.name}.yaml)` : ''
      const what = namesake ? 'the name' : owned ? `the owner ${settings.owner}` : clash!.what
      throw new Conflict('upstream', `the upstream ${other.settings.name}${file} has ${what} already`)
    }
    for (const alias of settings.aliases) {
      const holder = await accounts.find(alias)
      if (holder === null || holder.lowerName === settings.owner.toLowerCase()) continue
      throw new Conflict('upstream', `the alias ${alias} is the name of another account`)
    }
  }

  /** Throws Unprocessable when what a closed mirror holds, perhaps by credentials, would be opened to others unasked. */
  async #requireKeptShut({ owner, visibility }: UpstreamSettings, isConfirmed: boolean): Promise<void> {
    if (isConfirmed || visibility === 'private') return
    const mirror = await this.#parts.accounts.find(owner)
    if (mirror?.kind !== 'mirror' || mirror.visibility !== 'private') return
    throw new Unprocessable(
      `what ${mirror.name} holds may have come by credentials: visibility ${visibility} needs confirm_exposes_credentials`,
      'upstream',
    )
  }

  /** Throws NotFound, and Conflict for one that a file declares. */
  #get(name: string): Known {
    if (this.#parts.upstreams.find(name)?.origin === 'file') {
      throw new Conflict('upstream', `${name} is declared in ${name}.yaml, and changes with it at the next start`)
    }
    for (const known of this.#known.values()) if (known.row.name === name) return known
    throw new NotFound('upstream', name)
  }

  async #lock(id: number, transaction: Transaction): Promise<UpstreamRow> {
    const row = await this.#parts.models.upstream.findByPk(id, { lock: transaction.LOCK.UPDATE, transaction })
    if (row === null) throw new NotFound('upstream')
    return row
  }

  /** A server that was killed between the two may have written the one and not the other. */
  async #alignOwner({ id }: UpstreamRow): Promise<void> {
    const { upstreams } = this.#parts
    const upstream = upstreams.findById(id)
    if (upstream !== null) await upstreams.ensureOwner(upstream.settings, [upstream.settings])
  }

  async #isAlias(lowerName: string, transaction: Transaction): Promise<boolean> {
    const rows = await this.#rows(transaction)
    return rows.some(
      (row) => row.settings !== null && declaredIn(row).aliases?.some((one) => one.toLowerCase() === lowerName),
    )
  }

  #rows(transaction: Transaction | null = null): Promise<UpstreamRow[]> {
    return this.#parts.models.upstream.findAll({ order: ['id'], raw: true, transaction })
  }

  #purgeBehind({ id, ownerId, type }: UpstreamRow): void {
    const { db, models, log, purge, runBehind } = this.#parts
    const purging = async () => {
      await purge({ id, ownerId, type })
      const where = { id, settings: null }
      await db.inTransaction((transaction) => models.upstream.update({ removedAt: null }, { where, transaction }))
    }
    runBehind(purging().catch((err: unknown) => log.error({ err, upstreamId: id }, 'deleted upstream not purged')))
  }
}

function isSame(known: Known | undefined, { name, revision }: UpstreamRow): boolean {
  return known?.row.name === name && known.row.revision === revision
}

function requireConfirmed(settings: UpstreamSettings, isConfirmed: boolean): void {
  if (isConfirmed || !exposesCredentials(settings)) return
  throw new Unprocessable(
    `whoever may read the mirror may read whatever its credentials open: visibility ${settings.visibility} needs confirm_exposes_credentials`,
    'upstream',
  )
}
