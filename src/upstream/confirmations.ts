import { LRUCache } from 'lru-cache'
import type { Clock } from '../clock.ts'
import type { Config } from '../config/config.ts'
import { UpstreamUnavailable } from '../errors.ts'
import type { Upstream } from './upstreams.ts'

const BELIEVED = 300_000
const ABSENCE_BELIEVED = 60_000

/** What upstreams said when they were asked whether they have something, without fetching it. */
export class Confirmations {
  readonly #config: Config['mirrors']
  readonly #clock: Clock
  readonly #known = new LRUCache<string, { exists: boolean; until: number }>({ max: 200_000 })
  readonly #asking = new Map<string, Promise<boolean>>()

  constructor(config: Config['mirrors'], clock: Clock) {
    this.#config = config
    this.#clock = clock
  }

  /**
   * Whether there is something at this path below the upstream's URL, by HEAD and the upstream's own word: where it
   * redirects to is not asked. Believed for five minutes, an absence for one. UpstreamUnavailable when it cannot say.
   */
  async confirm(upstream: Upstream, path: string): Promise<boolean> {
    const key = `${upstream.id}:${path}`
    const known = this.#known.get(key)
    if (known !== undefined && this.#clock.now() < known.until) return known.exists
    const asking = this.#asking.get(key) ?? this.#ask(upstream, path, key).finally(() => this.#asking.delete(key))
    this.#asking.set(key, asking)
    return asking
  }

  /** Believes nothing of one upstream any more. */
  clear(upstreamId: number): void {
    for (const key of this.#known.keys()) if (key.startsWith(`${upstreamId}:`)) this.#known.delete(key)
  }

  async #ask({ settings, client }: Upstream, path: string, key: string): Promise<boolean> {
    const response = await client.send({
      url: new URL(path, settings.url),
      method: 'HEAD',
      headers: { accept: '*/*', 'accept-encoding': 'identity' },
      use: 'document',
      headersTimeout: this.#config.documentTimeout,
      signal: AbortSignal.timeout(this.#config.fetchTimeout),
      redirect: 'manual',
    })
    response.body.destroy()
    const { status, isAbsence } = response
    if (!isAbsence && (status < 200 || status >= 400)) {
      throw new UpstreamUnavailable(`upstream ${settings.name} answered ${status} for ${path}`)
    }
    const until = this.#clock.now() + (isAbsence ? ABSENCE_BELIEVED : BELIEVED)
    this.#known.set(key, { exists: !isAbsence, until })
    return !isAbsence
  }
}
