import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { RedisClientType } from '@keyv/redis'

/** ms for which an answer waits for Redis. */
const LATEST = 1_000

type Listener = (key: string) => void

/**
 * Short messages between the parts of one process and, with Redis, between replicas: "this changed, forget it".
 * Delivery is best effort; whoever listens must also be right, later, without it.
 */
export class Notices {
  readonly #listeners = new Map<string, Listener>()
  readonly #onGap: (() => void)[] = []
  readonly #self = randomUUID()
  readonly #sending = new Set<Promise<void>>()
  #channel = ''
  #publisher: RedisClientType | null = null
  #subscriber: RedisClientType | null = null

  /** One listener per topic, called for notices of other replicas only. */
  subscribe(topic: string, listener: Listener): void {
    if (this.#listeners.has(topic)) throw new Error(`two listeners for ${topic}`)
    this.#listeners.set(topic, listener)
  }

  /** Called when notices may have been missed: whoever keeps what they guard forgets all of it. */
  onGap(listener: () => void): void {
    this.#onGap.push(listener)
  }

  /** Tells the other replicas; never throws and never waits. */
  publish(topic: string, key: string): void {
    if (this.#publisher === null) return
    const sending: Promise<void> = this.#publisher
      .publish(this.#channel, JSON.stringify([this.#self, topic, key]))
      .then(
        () => {},
        () => {},
      )
      .finally(() => this.#sending.delete(sending))
    this.#sending.add(sending)
  }

  /**
   * Resolves when Redis has passed on what was published so far, or after a second: who is told that something is gone
   * may look for it at another replica at once.
   */
  async delivered(): Promise<void> {
    if (this.#sending.size === 0) return
    const timer = new AbortController()
    const late = sleep(LATEST, undefined, { signal: timer.signal, ref: false }).catch(() => {})
    await Promise.race([Promise.all(this.#sending), late])
    timer.abort()
  }

  /**
   * Connects to Redis; replicas of one `installation` hear each other, and nobody else who shares the Redis. While it is
   * away notices are lost; at each reconnection the listeners of `onGap` hear of it.
   */
  async connect(url: string, installation: string, onError: (error: Error) => void): Promise<void> {
    // Loaded when it is configured only: it costs a tenth of the start.
    const { createClient } = await import('@keyv/redis')
    this.#channel = `entrepot:notices:${installation}`
    const publisher = createClient({ url, socket: { connectTimeout: 5_000 }, disableOfflineQueue: true })
    const subscriber = publisher.duplicate()
    for (const client of [publisher, subscriber]) client.on('error', onError)
    let connected = false
    subscriber.on('ready', () => {
      if (connected) for (const listener of this.#onGap) listener()
      connected = true
    })
    await Promise.all([publisher.connect(), subscriber.connect()])
    await subscriber.subscribe(this.#channel, (message) => this.#receive(message))
    this.#publisher = publisher as RedisClientType
    this.#subscriber = subscriber as RedisClientType
  }

  /** The connection that publishes, for whoever else has something to ask; null without Redis. */
  get redis(): RedisClientType | null {
    return this.#publisher
  }

  close(): void {
    this.#publisher?.destroy()
    this.#subscriber?.destroy()
    this.#publisher = null
    this.#subscriber = null
  }

  #receive(message: string): void {
    const [from, topic, key] = JSON.parse(message) as [string, string, string]
    if (from !== this.#self) this.#listeners.get(topic)?.(key)
  }
}
