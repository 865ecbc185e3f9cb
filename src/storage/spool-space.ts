import { statfs } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'

const MOST = 50 * 1024 ** 3
const MOST_OF_VOLUME = 0.2
const RESERVE = 2 * 1024 ** 3
const RESERVE_OF_VOLUME = 0.05
/** ms for which making room is waited for. */
const PATIENCE = 2_000

/** Frees at least so many bytes of the volume, if it can; it must not reject. */
export type MakeRoom = (bytes: number) => Promise<void>

interface Claim {
  readonly bytes: number
  readonly written: () => number
}

/**
 * How much transfers may still write to the volume of the spool: at most 50 GiB or a fifth of the volume at once, and
 * 2 GiB or a twentieth of it stay free (pull-through.md §4.2).
 */
export class SpoolSpace {
  readonly #directory: string
  readonly #claims = new Set<Claim>()
  readonly #makers: MakeRoom[]

  constructor(directory: string, makeRoom: MakeRoom) {
    this.#directory = directory
    this.#makers = [makeRoom]
  }

  /** From now on `makeRoom` is asked too when there is too little, after those that came before. */
  onLack(makeRoom: MakeRoom): void {
    this.#makers.push(makeRoom)
  }

  /** Bytes that the running transfers have claimed. */
  get claimed(): number {
    return sum([...this.#claims].map(({ bytes }) => bytes))
  }

  /**
   * Sets `bytes` aside, of which `written` tells how many are on disk already; the result, to be called once, gives
   * them back. null: there is no room for them, and two seconds were not enough to make some.
   */
  async claim(bytes: number, written: () => number): Promise<(() => void) | null> {
    if (!(await this.#hasRoom(bytes))) return null
    const claim = { bytes, written }
    this.#claims.add(claim)
    return () => this.#claims.delete(claim)
  }

  async #hasRoom(bytes: number): Promise<boolean> {
    let lacking = await this.#lack(bytes)
    // What other transfers have claimed nobody can free.
    if (lacking <= 0 || lacking === Number.POSITIVE_INFINITY) return lacking <= 0
    const timer = new AbortController()
    const late = sleep(PATIENCE, undefined, { signal: timer.signal, ref: false }).catch(() => {})
    try {
      for (const makeRoom of this.#makers) {
        await Promise.race([makeRoom(lacking), late])
        lacking = await this.#lack(bytes)
        if (lacking <= 0) return true
      }
      return false
    } finally {
      timer.abort()
    }
  }

  /** Bytes of disk that are missing for so many more, 0 or less: none; infinite: too many are claimed already. */
  async #lack(bytes: number): Promise<number> {
    const { bavail, blocks, bsize } = await statfs(this.#directory)
    const volume = blocks * bsize
    const toCome = sum([...this.#claims].map((claim) => Math.max(0, claim.bytes - claim.written())))
    const reserve = Math.min(RESERVE, volume * RESERVE_OF_VOLUME)
    if (this.claimed + bytes > Math.min(MOST, volume * MOST_OF_VOLUME)) return Number.POSITIVE_INFINITY
    return Math.ceil(bytes + toCome + reserve - bavail * bsize)
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, one) => total + one, 0)
}
