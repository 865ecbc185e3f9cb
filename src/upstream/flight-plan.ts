import type { Digest } from '../storage/digest.ts'
import type { Spool, SpoolEntry } from '../storage/spool.ts'
import type { ArrivedHeaders } from './arrived-headers.ts'
import type { FetchPlan } from './artifact-fetch.ts'
import type { Orphans } from './orphans.ts'

/** What one flight needs to know. */
export interface FlightPlan extends FetchPlan {
  readonly spool: Spool
  /** Tells the artifact from all others, for what is kept of a transfer that ended too early. */
  readonly identity: string
  /** What was published before anybody asked for the bytes; null: nothing. */
  readonly digest: Digest | null
  /** Is given the answer's headers, once, and tells what the bytes must be; null: nobody knows. */
  readonly publishedDigest: (headers: Readonly<Record<string, string>>) => Promise<Digest | null>
  /** Bytes; more are not stored. 0: nothing is. */
  readonly limit: number
  /** Called with the whole, verified bytes; the flight is over when it resolves. It must not reject. */
  readonly commit: (entry: SpoolEntry, response: ArrivedHeaders) => Promise<void>
  /** Called with what it fails of, also of storing the bytes, before anybody else is told. */
  readonly failed: (failure: Error) => void
  /** Is told the SHA-256 of the whole bytes, whose digest matches, and throws why they must be refused all the same. */
  readonly verify: (sha256: string) => Promise<void>
  /** Those of the same upstream that nobody reads. */
  readonly orphans: Orphans
}

/** The flight does not take off: the artifact is there, and must be had without being stored. */
export class Uncacheable extends Error {
  readonly arrived: ArrivedHeaders
  readonly digest: Digest | null

  constructor(why: string, arrived: ArrivedHeaders, digest: Digest | null, cause?: unknown) {
    super(why, { cause })
    this.arrived = arrived
    this.digest = digest
  }
}
