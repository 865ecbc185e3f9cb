import { InsufficientStorage, UpstreamUnavailable } from '../errors.ts'
import type { Digest, Digests } from '../storage/digest.ts'
import type { SpoolEntry } from '../storage/spool.ts'
import { decodeEntry } from './decode-entry.ts'
import type { FlightPlan } from './flight-plan.ts'
import type { PublishedDigest } from './published-digest.ts'
import type { Beginning } from './transfer.ts'

/** Bytes that are what was published: `entry` has them, `digests` those of their digests that are known yet. */
export interface Verified {
  readonly entry: SpoolEntry
  readonly digests: Partial<Digests> & Pick<Digests, 'sha256'>
}

/**
 * Compares all bytes of a transfer with what was published, once more without their coding if the upstream has encoded
 * what was to come as it is (pull-through.md §5.2); the entry that is not the right one is discarded then. Throws
 * UpstreamUnavailable, InsufficientStorage and TooLarge.
 */
export async function verifyBytes(
  { entry, coding, isContinued }: Beginning,
  published: PublishedDigest,
  plan: FlightPlan,
): Promise<Verified> {
  const digest = await published.known
  let verified = await computeDigests(entry, digest)
  if (coding !== '' && !published.matches(verified.digests)) {
    const decoded = await decode(entry, coding, plan)
    if (decoded !== null) verified = await computeDigests(decoded, digest)
  }
  // What was kept of an earlier transfer may be what is wrong: nobody is blamed, and the next one starts anew.
  if (isContinued && !published.matches(verified.digests)) {
    throw new UpstreamUnavailable('the parts of the transfer do not fit together')
  }
  try {
    published.compare(verified.digests)
    await plan.verify(verified.digests.sha256)
    return verified
  } catch (error) {
    if (verified.entry !== entry) await verified.entry.discard()
    throw error
  }
}

/** Slower digests are waited for only if they are compared. */
async function computeDigests(entry: SpoolEntry, published: Digest | null): Promise<Verified> {
  try {
    const sha256 = await entry.seal()
    if (published === null || published.algorithm === 'sha256') return { entry, digests: { sha256 } }
    await entry.finish()
    return { entry, digests: entry.digests }
  } catch (error) {
    throw error instanceof InsufficientStorage
      ? error
      : new UpstreamUnavailable('the transfer failed', { cause: error })
  }
}

/** null: the bytes are not in this coding. */
async function decode(entry: SpoolEntry, coding: string, { spool, limit }: FlightPlan): Promise<SpoolEntry | null> {
  const decoded = spool.create({ limit })
  let isDecoded = false
  try {
    isDecoded = await decodeEntry(entry, coding, decoded)
    return isDecoded ? decoded : null
  } finally {
    if (!isDecoded) await decoded.discard()
  }
}
