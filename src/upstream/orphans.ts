const MOST = 8

/** Fetches of one upstream that nobody waits for any more: they may be worth finishing, but not too many (§4.2). */
export class Orphans {
  readonly #giveUps = new Set<() => void>()

  get size(): number {
    return this.#giveUps.size
  }

  /** Gives up the oldest one when there are more than eight. */
  add(giveUp: () => void): void {
    this.#giveUps.add(giveUp)
    if (this.#giveUps.size <= MOST) return
    const oldest = this.#giveUps.values().next().value!
    this.#giveUps.delete(oldest)
    oldest()
  }

  /** It is over, or somebody reads it again. */
  delete(giveUp: () => void): void {
    this.#giveUps.delete(giveUp)
  }
}
