import { LRUCache } from 'lru-cache'
import type { Notices } from './notices.ts'

/** Limits of one cache. Give `max` (entries) or `maxSize` (sum of `sizeOf`, bytes), `ttl` in ms where age matters. */
export interface CacheOptions<V> {
  name: string
  max?: number
  maxSize?: number
  sizeOf?: (value: V) => number
  ttl?: number
}

/**
 * Small, re-creatable answers in memory: owners, tokens, decisions, rendered documents; never artifact bytes. Losing
 * an entry costs time only. A loader runs once per key however many ask, and what it loads is not kept when the key
 * was invalidated meanwhile, here or on another replica.
 */
export class Cache<V extends NonNullable<unknown>> {
  readonly #name: string
  readonly #entries: LRUCache<string, V>
  readonly #loading = new Map<string, Promise<V>>()
  readonly #notices: Notices

  constructor(options: CacheOptions<V>, notices: Notices) {
    this.#name = options.name
    this.#notices = notices
    this.#entries = new LRUCache<string, V>({
      ...(options.max === undefined ? {} : { max: options.max }),
      ...(options.maxSize === undefined ? {} : { maxSize: options.maxSize }),
      ...(options.sizeOf === undefined ? {} : { sizeCalculation: (value: V) => Math.max(1, options.sizeOf!(value)) }),
      ...(options.ttl === undefined ? {} : { ttl: options.ttl }),
    } as LRUCache.Options<string, V, unknown>)
    notices.subscribe(`cache:${options.name}`, (key) => this.#drop(key === '' ? null : key))
    notices.onGap(() => this.#drop(null))
  }

  /** The value held, or undefined; never loads. */
  peek(key: string): V | undefined {
    return this.#entries.get(key)
  }

  /** Keeps a value that the caller has just made; other replicas are not told. */
  set(key: string, value: V): void {
    this.#loading.delete(key)
    this.#entries.set(key, value)
  }

  /** The value held, else what `load` makes; concurrent callers share one load and its failure. */
  async get(key: string, load: () => Promise<V>): Promise<V> {
    const held = this.#entries.get(key)
    if (held !== undefined) return held
    const running = this.#loading.get(key)
    if (running !== undefined) return running
    const loading = load().then(
      (value) => {
        if (this.#loading.get(key) === loading) {
          this.#loading.delete(key)
          this.#entries.set(key, value)
        }
        return value
      },
      (error: unknown) => {
        if (this.#loading.get(key) === loading) this.#loading.delete(key)
        throw error
      },
    )
    this.#loading.set(key, loading)
    return loading
  }

  /** Keeps a value and makes the other replicas forget theirs. */
  replace(key: string, value: V): void {
    this.set(key, value)
    this.#notices.publish(`cache:${this.#name}`, key)
  }

  /** Forgets one key here at once and on the other replicas soon. Call it after the commit that changed the source. */
  invalidate(key: string): void {
    this.#drop(key)
    this.#notices.publish(`cache:${this.#name}`, key)
  }

  /** Forgets everything, here and on the other replicas. */
  clear(): void {
    this.#drop(null)
    this.#notices.publish(`cache:${this.#name}`, '')
  }

  #drop(key: string | null): void {
    if (key === null) {
      this.#entries.clear()
      this.#loading.clear()
    } else {
      this.#entries.delete(key)
      this.#loading.delete(key)
    }
  }
}
