import { createHash, randomBytes } from 'node:crypto'
import { Op } from 'sequelize'
import { networkOf } from '../auth/network.ts'
import type { SecretBox } from '../auth/secret-box.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { TooManyRequests } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { Checks } from './provider.ts'

/** What a ticket stands for, by its kind. */
export interface TicketContents {
  /** Somebody is at an identity provider; its answer must fit. */
  flow: { readonly provider: string; readonly checks: Checks; readonly npm: string | null }
  /** Somebody has signed in. */
  signedIn: { readonly userId: number; readonly provider: string; readonly npm: string | null }
  /** npm waits for somebody to approve. `done` is the hash of the ticket that npm asks with. */
  npm: { readonly registry: string; readonly address: string; readonly at: number; readonly done: string }
  /** What npm asks with; `userId`: who has approved, null: nobody yet. */
  npmDone: { readonly userId: number | null }
}

/** What a ticket is for. */
export type TicketKind = keyof TicketContents

/** ms that a ticket is valid. */
export const TICKET_LIFE = 600_000
const SECRET = /^[0-9a-f]{40}$/
/** Open tickets of one kind and network. */
const MOST = 1_000
const RETRY_AFTER = 60
/** ms between two removals, and rows of one. */
const PRUNE_INTERVAL = 60_000
const BATCH = 1_000

/**
 * The steps of sign-ins, in the database, so that any server goes on with what another began. Who has the secret, 20
 * random bytes in hex, has the ticket; rows hold its SHA-256, and what it stands for sealed.
 */
export class Tickets {
  readonly #parts: { db: Database; models: Models; clock: Clock; box: SecretBox }
  #prunedAt = 0

  constructor(parts: { db: Database; models: Models; clock: Clock; box: SecretBox }) {
    this.#parts = parts
  }

  /** Makes a ticket; returns its secret. TooManyRequests while the network of the address has a thousand of the kind. */
  async open<K extends TicketKind>(kind: K, contents: TicketContents[K], address: string): Promise<string> {
    const { db, models, clock } = this.#parts
    await this.#pruneSometimes()
    const network = networkOf(address)
    const now = clock.now()
    const isOpen = { kind, network, expiresAt: { [Op.gt]: now } }
    if ((await models.signInTicket.count({ where: isOpen })) >= MOST) {
      throw new TooManyRequests('too many sign-ins have been begun from this address', RETRY_AFTER)
    }
    const secret = randomBytes(20).toString('hex')
    const secretHash = hashSecret(secret)
    const sealed = this.#seal(kind, secretHash, contents)
    const row = { secretHash, kind, network, sealed, expiresAt: now + TICKET_LIFE }
    await db.inTransaction((transaction) => models.signInTicket.create(row, { transaction }))
    return secret
  }

  /** What the ticket stands for; null: there is no such ticket of that kind any more. */
  async read<K extends TicketKind>(kind: K, secret: string): Promise<TicketContents[K] | null> {
    if (!SECRET.test(secret)) return null
    const secretHash = hashSecret(secret)
    const row = await this.#parts.models.signInTicket.findOne({ where: { secretHash, kind } })
    if (row === null || row.expiresAt <= this.#parts.clock.now()) return null
    return this.#unseal(kind, secretHash, row.sealed)
  }

  /** As `read`, and the ticket is used up: of several who come at once one gets it. */
  async take<K extends TicketKind>(kind: K, secret: string): Promise<TicketContents[K] | null> {
    const contents = await this.read(kind, secret)
    if (contents === null) return null
    const { db, models } = this.#parts
    const where = { secretHash: hashSecret(secret), kind }
    const removed = await db.inTransaction((transaction) => models.signInTicket.destroy({ where, transaction }))
    return removed === 1 ? contents : null
  }

  /** Gives a ticket, by the hash of its secret, other contents; whether it was still there. */
  async fill<K extends TicketKind>(kind: K, secretHash: string, contents: TicketContents[K]): Promise<boolean> {
    const { db, models, clock } = this.#parts
    const where = { secretHash, kind, expiresAt: { [Op.gt]: clock.now() } }
    const sealed = this.#seal(kind, secretHash, contents)
    const [changed] = await db.inTransaction((transaction) =>
      models.signInTicket.update({ sealed }, { where, transaction }),
    )
    return changed === 1
  }

  /** Deletes tickets that are over; they are bounded, so now and then is enough. */
  async #pruneSometimes(): Promise<void> {
    const { db, models, clock } = this.#parts
    const now = clock.now()
    if (now - this.#prunedAt < PRUNE_INTERVAL) return
    this.#prunedAt = now
    const where = { expiresAt: { [Op.lte]: now } }
    for (let removed = BATCH; removed === BATCH; ) {
      removed = await db.inTransaction(async (transaction) => {
        const rows = await models.signInTicket.findAll({
          where,
          attributes: ['secretHash'],
          limit: BATCH,
          transaction,
        })
        const secretHash = rows.map((row) => row.secretHash)
        await models.signInTicket.destroy({ where: { secretHash }, transaction })
        return rows.length
      })
    }
  }

  #seal<K extends TicketKind>(kind: K, secretHash: string, contents: TicketContents[K]): string {
    return this.#parts.box.seal(JSON.stringify(contents), purposeOf(kind, secretHash))
  }

  #unseal<K extends TicketKind>(kind: K, secretHash: string, sealed: string): TicketContents[K] {
    return JSON.parse(this.#parts.box.unseal(sealed, purposeOf(kind, secretHash))) as TicketContents[K]
  }
}

/** How a ticket is named to others; lower-case hex. */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex')
}

function purposeOf(kind: TicketKind, secretHash: string): string {
  return `sign-in ${kind} ${secretHash}`
}
