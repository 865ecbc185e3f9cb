import { randomBytes } from 'node:crypto'
import { type Content, type Descriptor, describeBytes, mediaType } from './content.ts'

/** What the suite on main calls data types: each is pushed, listed, found, pulled, referred to and deleted. */
export const dataTypes: Record<string, (content: Content) => void> = {
  'an image': (content) => content.image({ tag: 'image' }),
  'an image of uncompressed layers': (content) =>
    content.image({ tag: 'uncompressed', layers: [1, 2].map(() => content.layer({ compressed: false })) }),
  'a manifest of 3.9 MB': (content) =>
    content.image({
      tag: 'large',
      annotations: Object.fromEntries(Array.from({ length: 390 }, (_, i) => [`large-${i}`, 'A'.repeat(10_000)])),
    }),
  'an index': (content) => content.platforms({ tag: 'index' }),
  'an index of indexes': (content) => {
    const children = [content.platforms(), content.platforms()].map(({ descriptor }) => descriptor)
    content.index(children, { tag: 'nested' })
  },
  'an empty index': (content) => content.index([], { tag: 'empty-index' }),
  'an artifact': (content) => content.artifact({ tag: 'artifact', artifactType: mediaType.example }),
  'an index of artifacts': (content) => {
    const children = [1, 2].map(() => content.artifact({ artifactType: mediaType.example }).descriptor)
    content.index(children, { tag: 'artifact-index', artifactType: mediaType.example })
  },
  'an artifact whose one layer is the empty one': (content) => {
    const layers = [describeBytes(Buffer.from('{}'), mediaType.empty)]
    content.artifact({ tag: 'layerless', artifactType: mediaType.example, layers })
  },
  'artifacts with a subject': (content) => {
    const subject = content.image({ tag: 'image' }).descriptor
    const annotations = { 'org.example.note': 'hello' }
    content.image({ subject })
    content.artifact({ subject, annotations, artifactType: mediaType.example, tag: 'first' })
    content.artifact({ subject, annotations, artifactType: mediaType.otherExample, tag: 'second' })
  },
  'an index with a subject': (content) => {
    const subject = content.platforms({ tag: 'index' }).descriptor
    const children = [1, 2].map(() => content.artifact({ artifactType: mediaType.example }).descriptor)
    content.index(children, {
      subject,
      artifactType: mediaType.example,
      annotations: { 'org.example.note': 'hello' },
      tag: 'referring',
    })
  },
  'an artifact whose subject does not exist': (content) => {
    const subject = describeBytes(randomBytes(123), mediaType.image)
    content.artifact({ subject, artifactType: mediaType.example, annotations: { a: 'b' }, tag: 'orphan' })
  },
  'descriptors that carry the data': (content) => content.image({ tag: 'data', withData: true }),
  'layers that are not to be distributed': (content) => {
    const elsewhere = (type: string): Descriptor => {
      const descriptor = describeBytes(randomBytes(64), type)
      return { ...descriptor, size: 12_345, urls: [`https://store.example.org/${descriptor.digest}`] }
    }
    const layers = [elsewhere(mediaType.foreignGzipLayer), elsewhere(mediaType.foreignLayer), content.layer()]
    content.image({ tag: 'foreign', layers })
  },
  'fields that no specification knows': (content) => content.platforms({ tag: 'custom', withUnknownFields: true }),
  'an image without layers': (content) => content.image({ tag: 'no-layers', layers: [] }),
  'an index by sha512 throughout': (content) => content.platforms({ algorithm: 'sha512' }),
}
