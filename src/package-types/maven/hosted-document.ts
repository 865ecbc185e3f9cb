import { renderDocument } from '../../http/send-document.ts'
import { digestsOf } from '../../storage/digest.ts'
import type { DigestedDocument } from './source.ts'

/**
 * `maven-metadata.xml`, ready to be sent, without a Last-Modified: two builds within a second leave documents of equal
 * length, which Gradle then takes for one and the same, although their ETags differ.
 */
export async function renderMetadata(bytes: Buffer): Promise<DigestedDocument> {
  const document = await renderDocument(bytes, { contentType: 'text/xml', lastModified: null })
  return Object.freeze({ document, digests: digestsOf(bytes) })
}
