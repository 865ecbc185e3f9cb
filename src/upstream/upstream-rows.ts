import { Op, type Transaction } from 'sequelize'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import { Conflict } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { Upstream as UpstreamRow } from '../models/upstream.ts'
import { staleSince } from './freshness.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

/** What UpstreamRows is built from. */
export interface UpstreamRowsParts {
  readonly models: Models
  readonly clock: Clock
  readonly config: Config
}

/**
 * The rows that what is held of upstreams belongs to. One is found by its owner and type before its name, so that an
 * upstream that goes and comes back, from a file or over REST, finds its cache and its digests again.
 */
export class UpstreamRows {
  readonly #parts: UpstreamRowsParts

  constructor(parts: UpstreamRowsParts) {
    this.#parts = parts
  }

  /** The row of an upstream that a file declares; one of the same owner and type made over REST makes way. */
  async ofFile(settings: UpstreamSettings, ownerId: number, transaction: Transaction): Promise<UpstreamRow> {
    const { byOwner, byName } = await this.#find(settings, ownerId, transaction)
    if (byOwner !== null && byName !== null && byOwner.id !== byName.id) await this.#giveUpName(byName, transaction)
    const row = byOwner ?? byName ?? (await this.#create(settings, ownerId, transaction))
    const cleared = { settings: null, sealedSecrets: null, removedAt: null }
    return this.write(row, settings, { ...cleared, name: settings.name, ownerId }, transaction)
  }

  /**
   * The row for an upstream that is made over REST. Throws Conflict for a name, or an owner and type, that another one
   * has; `isDeclared` tells which names files have.
   */
  async ofRest(
    settings: UpstreamSettings,
    ownerId: number,
    isDeclared: (name: string) => boolean,
    transaction: Transaction,
  ): Promise<UpstreamRow> {
    const { byOwner, byName } = await this.#find(settings, ownerId, transaction)
    for (const row of [byName, byOwner]) {
      if (row === null || (row.settings === null && !isDeclared(row.name))) continue
      const file = row.settings === null ? ` (${row.name}.yaml)` : ''
      throw new Conflict('upstream', `there is the upstream ${row.name}${file} for ${row.type} already`)
    }
    if (byName !== null && byName.id !== byOwner?.id) await this.#giveUpName(byName, transaction)
    return byOwner ?? this.#create(settings, ownerId, transaction)
  }

  /** Writes what is so of every upstream. Validators of another server mean nothing, and what it said is asked again. */
  async write(
    row: UpstreamRow,
    settings: UpstreamSettings,
    values: Partial<UpstreamRow['_attributes']>,
    transaction: Transaction,
  ): Promise<UpstreamRow> {
    const { models, clock, config } = this.#parts
    const { type, url } = settings
    const now = clock.now()
    if (row.baseUrl !== url.href) {
      const where = { upstreamId: row.id }
      await models.upstreamDocument.update({ etag: '', lastModified: '' }, { where, transaction })
      const verifiedAt = staleSince(now, settings, config.mirrors)
      const later = { ...where, verifiedAt: { [Op.gt]: verifiedAt } }
      await models.upstreamDocument.update({ verifiedAt }, { where: later, transaction })
    }
    return row.update({ ...values, type, baseUrl: url.href, updatedAt: now }, { transaction })
  }

  async #find({ name, type }: UpstreamSettings, ownerId: number, transaction: Transaction) {
    const { upstream } = this.#parts.models
    const lock = transaction.LOCK.UPDATE
    const byOwner = await upstream.findOne({ where: { ownerId, type }, lock, transaction })
    return { byOwner, byName: await upstream.findOne({ where: { name }, lock, transaction }) }
  }

  #create({ name, type, url }: UpstreamSettings, ownerId: number, transaction: Transaction): Promise<UpstreamRow> {
    const { models, clock } = this.#parts
    const now = clock.now()
    const values = { name, type, ownerId, baseUrl: url.href, createdAt: now, updatedAt: now }
    return models.upstream.create(values, { transaction })
  }

  /** No upstream can be called so. */
  async #giveUpName(row: UpstreamRow, transaction: Transaction): Promise<void> {
    await row.update({ name: `${row.name.slice(0, 200)}~${row.id}` }, { transaction })
  }
}
