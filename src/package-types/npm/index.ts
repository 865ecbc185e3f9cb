import type { PackageType } from '../package-type.ts'
import { renderError } from './errors.ts'
import { parseTarget } from './names.ts'
import { configuredRegistry } from './registry-url.ts'
import { routes } from './routes.ts'
import { tokenExchangeRoutes } from './token-exchange-routes.ts'
import { packumentRequest } from './upstream-packument.ts'
import { compileVersions } from './version-ranges.ts'

/** JavaScript packages, as npm, pnpm, yarn and bun fetch and publish them. */
export const npm: PackageType = {
  name: 'npm',
  prefixes: ['/api/packages/:owner/npm'],
  routes,
  originRoutes: tokenExchangeRoutes,
  clientAddress: (baseUrl, owner) => `${baseUrl}/api/packages/${owner}/npm/`,
  renderError,
  parseTarget,
  upstream: {
    defaultUrl: configuredRegistry,
    nameDocument: packumentRequest,
    sample: () => packumentRequest('lodash'),
    compileVersions,
    isMergeable: true,
  },
}
