import { describePackageType } from '../../contracts/package-type.ts'
import { buildPublication } from '../../support/builders/npm.ts'

describePackageType({
  type: 'npm',
  publish: async (owner) => ({
    method: 'PUT',
    url: `/api/packages/${owner}/npm/@scope%2ftool`,
    headers: { 'content-type': 'application/json' },
    payload: await buildPublication({ name: '@scope/tool', version: '1.0.0' }),
  }),
  file: (owner) => `/api/packages/${owner}/npm/@scope/tool/-/tool-1.0.0.tgz`,
  document: (owner) => `/api/packages/${owner}/npm/@scope%2ftool`,
  isError: (body) => typeof (JSON.parse(body) as { error?: unknown }).error === 'string',
})
