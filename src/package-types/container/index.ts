import type { PackageType } from '../package-type.ts'
import { addressOf } from './address.ts'
import { renderError } from './errors.ts'
import { CONTAINER } from './names.ts'
import { versionsKeptByCleanup, versionsRemovedWith } from './queries.ts'
import { routes } from './routes.ts'
import { upstream } from './upstream.ts'

/** Container images and other OCI artifacts, as docker, podman, skopeo and containerd push and pull them. */
export const container: PackageType = {
  name: CONTAINER,
  prefixes: ['/v2', '/mirror/:mirror/v2'],
  routes,
  clientAddress: (baseUrl, owner) => `${new URL(baseUrl).host}/${owner}/`,
  renderError,
  parseTarget: addressOf,
  hasCaseSensitiveVersions: true,
  versionsRemovedWith,
  versionsKeptByCleanup,
  upstream,
}
