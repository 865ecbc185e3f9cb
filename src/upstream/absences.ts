import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { ArtifactRequest } from './artifact-request.ts'
import { NegativeEntries } from './negative-entries.ts'

/** Takes what the upstream said when it was asked. */
export type Witness = (isAbsent: boolean) => void

type Wanted = Pick<ArtifactRequest, 'key' | 'within' | 'remembersAbsence'>

/** The artifacts that upstreams said they do not have, where the request wants that to be remembered. */
export class Absences {
  readonly #entries: NegativeEntries
  readonly #epochs = new Map<number, number>()

  constructor(clock: Clock, notices: Notices) {
    this.#entries = new NegativeEntries(clock, { notices, topic: 'artifacts-absent' })
  }

  /** Whether the upstream need not be asked. */
  has(upstreamId: number, wanted: Wanted): boolean {
    return wanted.remembersAbsence === true && this.#entries.has(identity(upstreamId, wanted), false)
  }

  /**
   * Call it before the upstream is asked, and what it returns once for the answer, never for a failure. An answer that is
   * older than the last `clear` is worth nothing.
   */
  witness(upstreamId: number, wanted: Wanted): Witness {
    const epoch = this.epoch(upstreamId)
    return (isAbsent) => {
      if (wanted.remembersAbsence !== true) return
      if (!isAbsent) this.#entries.forget(identity(upstreamId, wanted))
      // A second answer to the same question (HEAD beside GET) is no further miss.
      else if (epoch === this.epoch(upstreamId) && !this.has(upstreamId, wanted)) {
        this.#entries.add(identity(upstreamId, wanted))
      }
    }
  }

  /** How often what is known of an upstream was cleared: tells whether an answer is older than that. */
  epoch(upstreamId: number): number {
    return this.#epochs.get(upstreamId) ?? 0
  }

  /** Believes nothing of one upstream any more, nor what it is just saying. */
  clear(upstreamId: number): void {
    this.#epochs.set(upstreamId, this.epoch(upstreamId) + 1)
    this.#entries.clear(upstreamId)
  }
}

function identity(upstreamId: number, { within, key }: Wanted) {
  return { upstreamId, kind: within ?? '', key }
}
