import type { PackageType } from '../package-type.ts'
import { parseTarget } from './address.ts'
import { MAVEN } from './coordinates.ts'
import { renderError } from './errors.ts'
import { removeOldBuilds } from './old-builds.ts'
import { routes } from './routes.ts'
import { upstream } from './upstream.ts'

/** Java packages, as Maven, Gradle, sbt and the others deploy and resolve them. */
export const maven: PackageType = {
  name: MAVEN,
  prefixes: ['/api/packages/:owner/maven'],
  routes,
  clientAddress: (baseUrl, owner) => `${baseUrl}/api/packages/${owner}/maven`,
  renderError,
  parseTarget,
  upstream,
  tidy: async (services) => {
    const files = await removeOldBuilds(services, services.config.packages.retainMavenSnapshotBuilds)
    return { files }
  },
}
