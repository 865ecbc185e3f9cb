import { LRUCache } from 'lru-cache'
import type { DocumentRequest } from './adapter.ts'
import { type DocumentIdentity, identityKey } from './document-store.ts'

/** A parsed document takes about this much more memory than its text. */
const WEIGHT = 3

/** Parsed documents, each by the version of its body, as long as memory lasts. */
export class ParsedDocuments {
  readonly #parsed: LRUCache<string, NonNullable<unknown>>

  readonly #making = new Map<string, Promise<NonNullable<unknown>>>()

  /** `maxSize` is in bytes. */
  constructor(maxSize: number) {
    this.#parsed = new LRUCache({ maxSize: Math.max(1, maxSize) })
  }

  /** What is held, else what `make` reads and parses: once however many wait, for a document may be huge. */
  async load<A extends NonNullable<unknown>>(
    identity: DocumentIdentity,
    version: string,
    make: () => Promise<A>,
  ): Promise<A> {
    const key = `${identityKey(identity)}:${version}`
    const known = this.#parsed.get(key) ?? this.#making.get(key)
    if (known !== undefined) return known as A | Promise<A>
    const making = make().finally(() => this.#making.delete(key))
    this.#making.set(key, making)
    return making
  }

  /** Parses a body and keeps the result. Throws what the request's `parse` throws. */
  parse<A extends NonNullable<unknown>>(
    request: DocumentRequest<A>,
    identity: DocumentIdentity,
    version: string,
    body: Buffer,
  ): A {
    const accepted = request.parse(body)
    this.#parsed.set(`${identityKey(identity)}:${version}`, accepted, { size: 1 + body.length * WEIGHT })
    return accepted
  }
}
