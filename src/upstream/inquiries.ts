import type { Config } from '../config/config.ts'
import type { Digest } from '../storage/digest.ts'
import type { Absences } from './absences.ts'
import { type ArrivedHeaders, ArtifactAbsent, describe, refusalOf } from './arrived-headers.ts'
import type { ArtifactRequest } from './artifact-request.ts'
import { HEAD_UNSUPPORTED } from './exchange.ts'
import type { Upstream } from './upstreams.ts'

/** What an upstream says of an artifact without sending it. */
export interface InquiryAnswer {
  /** null: it is there, and the upstream tells no more. */
  readonly described: ArrivedHeaders | null
  /** What was published of it before it was asked for. */
  readonly digest: Digest | null
}

interface Inquiry {
  readonly upstreamId: number
  readonly answer: Promise<InquiryAnswer>
}

/** HEAD of artifacts that are not held: it asks the upstream the same, and starts no transfer (pull-through.md §4.2). */
export class Inquiries {
  readonly #config: Config['mirrors']
  readonly #absences: Absences
  readonly #asking = new Map<string, Inquiry>()

  constructor(config: Config['mirrors'], absences: Absences) {
    this.#config = config
    this.#absences = absences
  }

  /** Asks once however many wait. Throws ArtifactAbsent, UpstreamUnavailable, and what `locate` throws. */
  ask(upstream: Upstream, request: ArtifactRequest): Promise<InquiryAnswer> {
    const key = `${upstream.id}:${request.within ?? ''}:${request.key}`
    const running = this.#asking.get(key)
    if (running !== undefined) return running.answer
    const answer = this.#ask(upstream, request).finally(() => {
      if (this.#asking.get(key) === inquiry) this.#asking.delete(key)
    })
    const inquiry = { upstreamId: upstream.id, answer }
    this.#asking.set(key, inquiry)
    return answer
  }

  /** Whoever comes from now on is answered by what the upstream says from now on. */
  clear(upstreamId: number): void {
    for (const [key, inquiry] of this.#asking) if (inquiry.upstreamId === upstreamId) this.#asking.delete(key)
  }

  async #ask(upstream: Upstream, request: ArtifactRequest): Promise<InquiryAnswer> {
    const witness = this.#absences.witness(upstream.id, request)
    const location = await request.locate()
    const url = new URL(location.url, upstream.settings.url)
    const response = await upstream.client.send({
      url,
      method: 'HEAD',
      headers: { accept: location.accept ?? '*/*', 'accept-encoding': 'identity' },
      use: 'document',
      headersTimeout: this.#config.artifactTimeout,
      signal: AbortSignal.timeout(this.#config.fetchTimeout),
    })
    response.body.destroy()
    // What is listed somewhere is there, of unknown size, where HEAD is not known; as are addresses that the upstream has
    // just made, and signed for GET alone.
    const isElsewhere = response.url.origin !== url.origin && [401, 403].includes(response.status)
    if (response.status !== 200 && !HEAD_UNSUPPORTED.has(response.status) && !isElsewhere) {
      const refusal = refusalOf(response, upstream.settings.name)
      if (refusal instanceof ArtifactAbsent) witness(true)
      throw refusal
    }
    witness(false)
    return { described: response.status === 200 ? describe(response) : null, digest: location.digest }
  }
}
