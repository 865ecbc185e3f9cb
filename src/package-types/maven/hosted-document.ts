import { renderDocument } from '../../http/send-document.ts'
import { digestsOf } from '../../storage/digest.ts'
import type { DocumentAnswer } from './source.ts'

/** A document and the digests of its plain form: made together and forgotten together, so that they agree. */
export type HostedDocument = Pick<DocumentAnswer, 'document' | 'digests'>

/**
 * `maven-metadata.xml`, ready to be sent. `now`, in ms, is its Last-Modified: a version that is deleted leaves no time
 * behind, and a client that is told "not modified" once too often goes on asking for files that are gone.
 */
export async function renderMetadata(bytes: Buffer, now: number): Promise<HostedDocument> {
  const document = await renderDocument(bytes, { contentType: 'text/xml', lastModified: now })
  return Object.freeze({ document, digests: digestsOf(bytes) })
}
