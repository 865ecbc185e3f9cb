import { describePackageType } from '../../contracts/package-type.ts'

const root = (owner: string) => `/api/packages/${owner}/maven/com/acme/tool`
// The POM, because it is what downloads are counted of.
const file = (owner: string) => `${root(owner)}/1.0.0/tool-1.0.0.pom`

describePackageType({
  type: 'maven',
  publish: async (owner) => ({
    method: 'PUT',
    url: file(owner),
    payload: Buffer.from('<project><name>tool</name></project>'),
  }),
  file,
  document: (owner) => `${root(owner)}/maven-metadata.xml`,
  isError: (body) => body.length > 0 && !body.startsWith('{') && !body.startsWith('<'),
})
