import { Cache } from '../../cache/cache.ts'
import type { Notices } from '../../cache/notices.ts'
import type { DocumentAnswer } from './source.ts'

/** A document and the digests of its plain form. */
export type Document = Pick<DocumentAnswer, 'document' | 'digests'>

/** Bytes that a document in memory costs beside its buffers. */
const OVERHEAD = 1_000

/** The documents of mirrors ready to be sent: each of one version of what the upstream has. */
export class MirroredDocuments {
  readonly #cache: Cache<Document>

  /** `maxSize` is in bytes. */
  constructor(maxSize: number, notices: Notices) {
    const sizeOf = ({ document: { gzip, identity } }: Document) => OVERHEAD + gzip.length + (identity?.length ?? 0)
    this.#cache = new Cache({ name: 'maven-mirrored-documents', maxSize, sizeOf }, notices)
  }

  /** The document held, or what `render` makes; documents of versions that are gone leave when space is needed. */
  get(key: string, render: () => Promise<Document>): Promise<Document> {
    return this.#cache.get(key, render)
  }
}
