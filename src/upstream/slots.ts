import { UpstreamUnavailable } from '../errors.ts'

const LONGEST_QUEUE = 1_000

/** Files may take minutes, metadata does not: see Slots. */
export type SlotUse = 'artifact' | 'document'

interface Waiting {
  readonly use: SlotUse
  readonly enter: () => void
}

/**
 * Turns at the connections to one origin: at most `count` exchanges at once, the others wait in the order they came
 * (pull-through.md §4.2). Without it a queue of our own making would look like an upstream that does not answer.
 * Artifacts leave a quarter of the slots to documents, so that long downloads do not hold up metadata.
 */
export class Slots {
  readonly #limits: Record<SlotUse, number>
  readonly #waiting = new Set<Waiting>()
  #taken = 0

  constructor(count: number) {
    this.#limits = { document: count, artifact: Math.max(1, count - Math.ceil(count / 4)) }
  }

  /** Waits up to `patience` ms for a slot; the result, to be called once, gives it back. UpstreamUnavailable without one. */
  async take(use: SlotUse, patience: number, signal?: AbortSignal): Promise<() => void> {
    if (this.#taken >= this.#limits[use]) await this.#wait(use, patience, signal)
    else this.#taken += 1
    return () => {
      this.#taken -= 1
      this.#next()
    }
  }

  #wait(use: SlotUse, patience: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = () => {
        clearTimeout(timer)
        signal?.removeEventListener('abort', leave)
        this.#waiting.delete(waiting)
      }
      const leave = () => {
        end()
        reject(new UpstreamUnavailable('too many requests wait for the upstream', { status: 503, retryAfter: 5 }))
      }
      const enter = () => {
        end()
        resolve()
      }
      const waiting: Waiting = { use, enter }
      const timer = setTimeout(leave, patience)
      if (signal?.aborted === true || this.#waiting.size >= LONGEST_QUEUE) return leave()
      this.#waiting.add(waiting)
      signal?.addEventListener('abort', leave)
    })
  }

  #next(): void {
    for (const waiting of this.#waiting) {
      if (this.#taken >= this.#limits[waiting.use]) continue
      this.#taken += 1
      waiting.enter()
    }
  }
}
