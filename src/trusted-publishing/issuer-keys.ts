import { type CryptoKey, createLocalJWKSet, errors, type JWK, type JWTVerifyGetKey } from 'jose'
import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import { UpstreamUnavailable } from '../errors.ts'
import { discoveryUrl } from './issuer-url.ts'

/** ms for which keys are used without asking. */
const FRESH = 3_600_000
/** ms for which they are used while the issuer cannot be asked. */
const LAST_RESORT = 24 * FRESH
/** ms between two attempts to ask one issuer. */
const PAUSE = 30_000
const MOST_ISSUERS = 200
/** Of one issuer; bytes of their JSON. */
const LARGEST_SET = 65_536
/** Parts of a public key; what else issuers say of theirs, certificates above all, is not kept. */
const PARTS = ['kty', 'kid', 'use', 'alg', 'key_ops', 'n', 'e', 'crv', 'x', 'y'] as const

interface Held {
  readonly find: ReturnType<typeof createLocalJWKSet>
  /** Ms since the epoch. */
  readonly fetchedAt: number
}

interface Entry {
  held: Held | null
  triedAt: number
  running: Promise<void> | null
}

/**
 * The public keys of issuers, from their discovery documents alone: whatever a token says of keys does not matter
 * (security.md S14). An issuer is asked once an hour, or when a key is unknown, and twice a minute at most; while it
 * fails, keys go on being used for a day. At most 200 issuers are remembered.
 */
export class IssuerKeys {
  readonly #parts: {
    get: (url: URL) => Promise<unknown>
    clock: Clock
    onError: (error: unknown, message: string) => void
  }
  readonly #entries = new LRUCache<string, Entry>({ max: MOST_ISSUERS })

  constructor(parts: {
    get: (url: URL) => Promise<unknown>
    clock: Clock
    onError: (error: unknown, message: string) => void
  }) {
    this.#parts = parts
  }

  /**
   * The key of the issuer that a token's header means. Throws JWKSNoMatchingKey when there is none, and
   * UpstreamUnavailable when the issuer cannot be asked and no keys of it are held.
   */
  async find(issuer: string, ...token: Parameters<JWTVerifyGetKey>): Promise<CryptoKey> {
    const entry = this.#entry(issuer)
    if (this.#ageOf(entry) > FRESH) await this.#refresh(issuer, entry)
    const held = this.#usable(entry)
    try {
      return await held.find(...token)
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error
      // It may have been made since.
      await this.#refresh(issuer, entry)
      if (entry.held === held) throw error
      return this.#usable(entry).find(...token)
    }
  }

  #entry(issuer: string): Entry {
    const known = this.#entries.get(issuer)
    if (known !== undefined) return known
    const entry: Entry = { held: null, triedAt: Number.NEGATIVE_INFINITY, running: null }
    this.#entries.set(issuer, entry)
    return entry
  }

  #ageOf({ held }: Entry): number {
    return held === null ? Number.POSITIVE_INFINITY : this.#parts.clock.now() - held.fetchedAt
  }

  #usable(entry: Entry): Held {
    if (this.#ageOf(entry) <= LAST_RESORT) return entry.held!
    throw new UpstreamUnavailable('the keys of the issuer cannot be had', { status: 503, retryAfter: PAUSE / 1_000 })
  }

  /** Never throws. Callers share one attempt; there is none where the last was just now. */
  async #refresh(issuer: string, entry: Entry): Promise<void> {
    const now = this.#parts.clock.now()
    if (entry.running === null && now - entry.triedAt < PAUSE) return
    entry.running ??= this.#load(issuer)
      .then(
        (find) => {
          entry.held = { find, fetchedAt: now }
        },
        (error: unknown) => this.#parts.onError(error, `the keys of the issuer ${issuer} could not be fetched`),
      )
      .finally(() => {
        entry.running = null
      })
    entry.triedAt = now
    await entry.running
  }

  async #load(issuer: string): Promise<Held['find']> {
    const { get } = this.#parts
    const described = await get(discoveryUrl(issuer))
    const { issuer: named, jwks_uri: address } = (described ?? {}) as { issuer?: unknown; jwks_uri?: unknown }
    if (named !== issuer) throw new Error('the discovery document is that of another issuer')
    if (typeof address !== 'string' || !URL.canParse(address)) throw new Error('the discovery document names no keys')
    const { keys } = ((await get(new URL(address))) ?? {}) as { keys?: unknown }
    if (!Array.isArray(keys)) throw new Error('what the issuer has for keys is none')
    const kept = keys.flatMap((key: unknown) => publicPartsOf(key))
    if (JSON.stringify(kept).length > LARGEST_SET) throw new Error('the issuer has too many keys')
    return createLocalJWKSet({ keys: kept })
  }
}

/** Nothing for what is no asymmetric key. */
function publicPartsOf(key: unknown): JWK[] {
  if (typeof key !== 'object' || key === null) return []
  const { kty } = key as JWK
  if (kty !== 'RSA' && kty !== 'EC' && kty !== 'OKP') return []
  const parts = PARTS.flatMap((name) => (Object.hasOwn(key, name) ? [[name, (key as JWK)[name]]] : []))
  return [Object.fromEntries(parts) as JWK]
}
