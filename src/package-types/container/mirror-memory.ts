import { LRUCache } from 'lru-cache'
import type { Decision } from '../../policies/decision.ts'
import type { Descriptor } from './manifest-document.ts'

/** ms: tags that are seen meanwhile may speak against a digest. */
const RULING = 60_000

/** What a policy makes of a tag or a digest. */
export interface Ruling {
  /** What is served; null: nothing. */
  readonly digest: string | null
  /** Why it is not what was asked for; null: it is. */
  readonly refusal: Decision | null
  /** ms since the epoch; null: for good. */
  readonly changesAt: number | null
}

/** What is known of a mirrored manifest once its bytes were seen. */
export interface ManifestFacts {
  readonly mediaType: string
  /** Null for an index. */
  readonly config: Descriptor | null
}

/** A manifest, and what it says of one of its blobs. */
export interface NamedBy {
  /** Digest of the manifest. */
  readonly manifest: string
  /** Bytes of the blob. */
  readonly size: number
}

/**
 * What the mirrors of one server have learnt from manifests that passed: facts that never change, kept so that warm
 * answers need neither SQL nor a parser. Keys are of one upstream, repository and digest.
 */
export class MirrorMemory {
  /** By manifest. */
  readonly facts = new LRUCache<string, ManifestFacts>({ max: 20_000 })
  /** By blob: who names it in the same repository. */
  readonly named = new LRUCache<string, NamedBy>({ max: 200_000 })
  /** By tag or digest and state of the rules: what they let through. */
  readonly rulings = new LRUCache<string, Ruling>({ max: 20_000, ttl: RULING })
  /** By manifest or tag: its rows are being written; what belongs to them waits. */
  readonly filing = new Map<string, Promise<unknown>>()
}
