import { Cache } from '../../cache/cache.ts'
import type { Notices } from '../../cache/notices.ts'
import type { DigestedDocument } from './source.ts'

/** Bytes that a document in memory costs beside its buffers. */
const OVERHEAD = 1_000

/** The documents of mirrors ready to be sent: each of one version of what the upstream has. */
export class MirroredDocuments {
  readonly #cache: Cache<DigestedDocument>

  /** `maxSize` is in bytes. */
  constructor(maxSize: number, notices: Notices) {
    const sizeOf = ({ document: { gzip, identity } }: DigestedDocument) =>
      OVERHEAD + gzip.length + (identity?.length ?? 0)
    this.#cache = new Cache({ name: 'maven-mirrored-documents', maxSize, sizeOf }, notices)
  }

  /** The document held, or what `render` makes; documents of versions that are gone leave when space is needed. */
  get(key: string, render: () => Promise<DigestedDocument>): Promise<DigestedDocument> {
    return this.#cache.get(key, render)
  }
}
