import type { PackageType } from '../package-type.ts'
import { renderError } from './errors.ts'
import { GENERIC } from './files.ts'
import { routes } from './routes.ts'

/** Files of any kind, in versions of packages; the smallest type (generic.md). */
export const generic: PackageType = {
  name: GENERIC,
  prefixes: ['/api/packages/:owner/generic'],
  // No name is refused here: one that cannot be is not found when read, and refused when uploaded.
  parseTarget: ({ params }) => {
    const { owner, name } = params as { owner: string; name?: string }
    return { owner, name: name?.toLowerCase() ?? null }
  },
  routes,
  clientAddress: (baseUrl, owner) => `${baseUrl}/api/packages/${owner}/generic/`,
  renderError,
}
