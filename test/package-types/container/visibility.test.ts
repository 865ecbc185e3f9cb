import type { LightMyRequestResponse } from 'fastify'
import { describePackageVisibility } from '../../contracts/package-visibility.ts'
import { buildImage, type Manifest } from '../../support/builders/image.ts'
import type { TestApp } from '../../support/test-app.ts'

// The same in every repository, so that answers about it differ by nothing but the repository's name.
const image = buildImage({ layers: ['the layer of all'] })
const signature = buildImage({ layers: ['a signature'], fields: { subject: image.descriptor } })
const [config, layer] = image.blobs

async function publish(
  app: TestApp,
  owner: string,
  name: string,
  authorization: string,
): Promise<LightMyRequestResponse> {
  const push = async ({ bytes, mediaType, blobs }: Manifest, reference: string) => {
    for (const blob of blobs) {
      const url = `/v2/${owner}/${name}/blobs/uploads/?digest=${blob.digest}`
      const headers = { authorization, 'content-type': 'application/octet-stream' }
      const answer = await app.inject({ method: 'POST', url, headers, payload: blob.bytes })
      if (answer.statusCode !== 201) return answer
    }
    const url = `/v2/${owner}/${name}/manifests/${reference}`
    return app.inject({ method: 'PUT', url, headers: { authorization, 'content-type': mediaType }, payload: bytes })
  }
  const pushed = await push(image, '1.0.0')
  return pushed.statusCode === 201 ? push(signature, signature.digest) : pushed
}

describePackageVisibility({
  type: 'container',
  packageName: (name) => name,
  publish,
  reads: (owner, name) => {
    const paths = [
      ...['manifests/1.0.0', `manifests/${image.digest}`, `blobs/${config!.digest}`, `blobs/${layer!.digest}`],
      ...['tags/list', 'tags/list?n=1', `referrers/${image.digest}`],
    ]
    return (['GET', 'HEAD'] as const).flatMap((method) =>
      paths.map((path) => ({
        method,
        url: `/v2/${owner}/${name}/${path}`,
        isList: path.startsWith('tags') || path.startsWith('referrers'),
      })),
    )
  },
  lists: (owner) =>
    ['', '?n=1000'].map((query) => ({
      request: { url: `/v2/_catalog${query}` },
      named: (name) => `"${owner}/${name}"`,
    })),
})
