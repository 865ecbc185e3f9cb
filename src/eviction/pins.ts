import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { Invalid, NotFound, Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import { compilePatterns } from '../upstream/name-patterns.ts'
import type { Upstream } from '../upstream/upstreams.ts'

/** Of one upstream: eviction compares all of them with what it is about to drop. */
const MOST = 1_000

/** What is never evicted: packages whose name, and versions or tags of theirs whose name, fits a pattern. */
export interface Pin {
  readonly name: string
  readonly version: string
}

/** A pin as it is kept. */
export interface PinRecord extends Pin {
  /** Who made it. */
  readonly author: string
  /** ms since the epoch. */
  readonly createdAt: number
}

/** Whether a version, by any of the names it has, is pinned. */
export type IsPinned = (name: string, references: readonly string[]) => boolean

/** What stays in caches however long nobody uses it (pull-through.md §9). */
export class Pins {
  readonly #db: Database
  readonly #models: Models
  readonly #clock: Clock

  constructor({ db, models, clock }: { db: Database; models: Models; clock: Clock }) {
    this.#db = db
    this.#models = models
    this.#clock = clock
  }

  /** Oldest first. */
  async list({ id }: Upstream): Promise<PinRecord[]> {
    const rows = await this.#models.upstreamPin.findAll({ where: { upstreamId: id }, order: ['id'], raw: true })
    return rows.map(({ name, version, author, createdAt }) => ({ name, version, author, createdAt: Number(createdAt) }))
  }

  /** Twice is harmless. Throws Unprocessable for what is no pattern, and where there are too many. */
  async put(upstream: Upstream, pin: Pin, author: string): Promise<void> {
    requirePatterns(upstream, pin)
    const where = { upstreamId: upstream.id, name: pin.name, version: pin.version }
    await this.#db.inTransaction(async (transaction) => {
      if ((await this.#models.upstreamPin.count({ where, transaction })) > 0) return
      const count = await this.#models.upstreamPin.count({ where: { upstreamId: upstream.id }, transaction })
      if (count >= MOST) throw new Unprocessable(`there are ${MOST} pins already`)
      await this.#models.upstreamPin.create({ ...where, author, createdAt: this.#clock.now() }, { transaction })
    })
  }

  /** Throws NotFound. */
  async delete(upstream: Upstream, { name, version }: Pin): Promise<void> {
    const count = await this.#db.inTransaction((transaction) =>
      this.#models.upstreamPin.destroy({ where: { upstreamId: upstream.id, name, version }, transaction }),
    )
    if (count === 0) throw new NotFound('pin', `${name} ${version}`)
  }

  /** What the pins of an upstream are about, as of now. */
  async matcher(upstream: Upstream): Promise<IsPinned> {
    const pins = (await this.list(upstream)).map((pin) => compile(upstream, pin))
    return (name, references) => pins.some((pin) => pin.hasName(name) && references.some(pin.hasVersion))
  }
}

function requirePatterns(upstream: Upstream, pin: Pin): void {
  try {
    compile(upstream, pin)
  } catch (error) {
    throw error instanceof Invalid ? new Unprocessable(error.message) : error
  }
}

function compile({ adapter }: Upstream, { name, version }: Pin) {
  return { hasName: compilePatterns([name], adapter.compilePattern), hasVersion: compilePatterns([version]) }
}
