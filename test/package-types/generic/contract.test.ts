import { describePackageType } from '../../contracts/package-type.ts'

const path = (owner: string) => `/api/packages/${owner}/generic/tool/1.0.0/tool.bin`

describePackageType({
  type: 'generic',
  publish: async (owner) => ({ method: 'PUT', url: path(owner), payload: Buffer.alloc(100, 'x') }),
  file: path,
  document: () => null,
  isError: (body) => body.length > 0 && !body.startsWith('{') && !body.startsWith('<'),
})
