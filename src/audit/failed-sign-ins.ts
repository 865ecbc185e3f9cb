import { LRUCache } from 'lru-cache'
import { networkOf } from '../auth/network.ts'
import { type AuditDetails, type Named, theServer } from './entry.ts'
import type { Audit } from './index.ts'

const HOUR = 3_600_000
/** Rows of one address (an IPv6 /64) and hour that stand for one failure each; what comes after them is counted. */
const SINGLE = 20
/** Addresses that are remembered; the oldest are summed up before their hour is over. */
const MOST = 10_000

/** What was counted at one address. */
interface Counted {
  /** As one of those failures had it. */
  readonly address: string
  /** Of which those above `SINGLE` are not in the log yet. */
  count: number
  timer?: NodeJS.Timeout
}

/**
 * Puts wrong passwords into the audit log: the first of an address one by one, those that follow within the hour as one
 * event with their number, so that no stranger can fill the database.
 */
export class FailedSignIns {
  readonly #audit: Audit
  readonly #counted = new LRUCache<string, Counted>({ max: MOST, dispose: (counted) => this.#sumUp(counted) })

  constructor(audit: Audit) {
    this.#audit = audit
  }

  /** Adds one. */
  record({ account, address }: { account: Named | null; address: string }, details: AuditDetails = {}): void {
    const network = networkOf(address)
    const counted = this.#counted.get(network) ?? this.#begin(network, address)
    counted.count += 1
    if (counted.count > SINGLE) return
    this.#audit.record({ ...theServer, address }, 'signin.failed', { owner: account }, details)
  }

  /** Sums up what has been counted so far: the server stops. */
  flush(): void {
    this.#counted.clear()
  }

  #begin(network: string, address: string): Counted {
    const counted: Counted = { address, count: 0 }
    counted.timer = setTimeout(() => this.#counted.delete(network), HOUR).unref()
    this.#counted.set(network, counted)
    return counted
  }

  #sumUp({ address, count, timer }: Counted): void {
    clearTimeout(timer)
    const more = count - SINGLE
    if (more > 0) this.#audit.record({ ...theServer, address }, 'signin.failed', {}, { failures: more })
  }
}
