import { describe, expect, test } from 'vitest'
import { type Algorithm, Content } from './content.ts'
import { Repository, startRegistry } from './repository.ts'

// `?tag=` beside a digest names the manifest in the same request (suite on main, tag parameters).
describe.each<Algorithm>(['sha256', 'sha512'])('tags given beside a %s digest', (algorithm) => {
  test('are answered, set at once, and pulled under the digest they were given with', async () => {
    const { server, client } = await startRegistry({ visibility: 'public', keepsTokens: true })
    try {
      const repository = new Repository(client, 'acme/conformance')
      const content = new Content()
      content.platforms({ algorithm })
      for (const [digest, bytes] of content.blobs) await repository.pushBlob(bytes, digest)
      for (const [i, manifest] of content.manifests.entries()) {
        const tags = [`manifest-${i}`, `Manifest-${i}`]
        const put = await repository.putByDigest(manifest, tags)
        expect(put.status).toBe(201)
        const named = put.headers('oci-tag').flatMap((line) => line.split(',').map((tag) => tag.trim()))
        expect(named.sort()).toEqual(tags.toSorted())
        for (const tag of tags) {
          const pulled = await repository.get(`manifests/${tag}`)
          expect(pulled.body.equals(manifest.bytes)).toBe(true)
          expect(pulled.header('docker-content-digest')).toBe(manifest.descriptor.digest)
          const head = await repository.head(`manifests/${tag}`)
          expect(head.header('docker-content-digest')).toBe(manifest.descriptor.digest)
        }
      }
      for (const { descriptor } of content.manifests.toReversed()) {
        expect((await repository.delete(`manifests/${descriptor.digest}`)).status).toBe(202)
      }
      expect(await repository.tags()).toEqual([])
    } finally {
      await server.close()
    }
  })
})
