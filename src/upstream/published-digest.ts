import { DigestMismatch, UpstreamUnavailable } from '../errors.ts'
import type { Digest, Digests } from '../storage/digest.ts'

/** What an upstream has published of the bytes of one transfer; found out while they come. */
export class PublishedDigest {
  readonly #upstreamName: string
  #known: Promise<Digest | null> = Promise.resolve(null)
  #digest: Digest | null = null
  #failure: UpstreamUnavailable | null = null

  constructor(upstreamName: string) {
    this.#upstreamName = upstreamName
  }

  /** As soon as it is known; null: nothing is published. Rejects with UpstreamUnavailable when nobody can tell. */
  get known(): Promise<Digest | null> {
    return this.#known
  }

  /** What is known by now. */
  get digest(): Digest | null {
    return this.#digest
  }

  /** Why nobody can tell. */
  get failure(): UpstreamUnavailable | null {
    return this.#failure
  }

  /** Takes what finds it out; whether it succeeds is told by `known` too, so that nobody needs to wait here. */
  ask(finding: Promise<Digest | null>): void {
    this.#known = finding.then(
      (digest) => {
        this.#digest = digest
        return digest
      },
      (error: unknown) => {
        const message = `upstream ${this.#upstreamName} could not say which digest it published`
        // An absence, too: it is one of the digest, and not of the file.
        this.#failure =
          error instanceof UpstreamUnavailable ? error : new UpstreamUnavailable(message, { cause: error })
        throw this.#failure
      },
    )
    this.#known.catch(() => {})
  }

  /** Whether all bytes have the digest that is published; true when none is. */
  matches(computed: Partial<Digests>): boolean {
    return this.#digest === null || computed[this.#digest.algorithm] === this.#digest.hex
  }

  /** Throws UpstreamUnavailable with detail BAD_DIGEST when all bytes have another digest. */
  compare(computed: Partial<Digests>): void {
    if (this.#digest === null || this.matches(computed)) return
    const { algorithm } = this.#digest
    throw new UpstreamUnavailable(
      `upstream ${this.#upstreamName} sent bytes that contradict the published ${algorithm} digest`,
      { detail: 'BAD_DIGEST', cause: new DigestMismatch(`got ${algorithm} ${computed[algorithm]}`) },
    )
  }
}
