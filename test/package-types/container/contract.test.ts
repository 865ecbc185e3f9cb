import { describePackageType } from '../../contracts/package-type.ts'
import { buildIndex } from '../../support/builders/image.ts'

const path = (owner: string) => `/v2/${owner}/tool/manifests/latest`

describePackageType({
  type: 'container',
  publish: async (owner) => {
    const { bytes, mediaType } = buildIndex([], { fields: { annotations: { pad: 'x'.repeat(100) } } })
    return { method: 'PUT', url: path(owner), headers: { 'content-type': mediaType }, payload: bytes }
  },
  file: path,
  document: () => null,
  isError: (body) => {
    const { errors } = JSON.parse(body) as { errors?: { code: unknown }[] }
    return errors?.length === 1 && /^[A-Z_]+$/.test(String(errors[0]!.code))
  },
  challenge: /^Bearer realm="[^"]+",service="[^"]+"/,
  // A 401 asks clients for other credentials: who has shown his is told what is wrong, or that there is nothing.
  statuses: { unknownOwner: 401, unreadable: 404, refused: 403, publicOnly: 404, republished: 201 },
})
