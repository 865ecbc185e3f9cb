import type { Target } from '../../http/decorate.ts'
import type { Services } from '../../services.ts'
import { canonicalName } from './address.ts'
import { CONTAINER } from './names.ts'
import { isRepositoryName } from './path.ts'

const MOUNT = /^[^/]+\/mirror\/([^/]+)$/

/** What challenges call this server, or one mirror of it whose repositories clients name without the mirror's name. */
export function serviceOf(baseUrl: string, mirror: string | null): string {
  const { host } = new URL(baseUrl)
  return mirror === null ? host : `${host}/mirror/${mirror}`
}

/** The mirror's name in a service made by `serviceOf`, or null. */
export function mirrorOfService(service: string): string | null {
  return MOUNT.exec(service)?.[1] ?? null
}

/**
 * The repository that a client means by a name when it asks for a token: with its owner, aliases resolved, and under
 * the name by which a mirror's upstream knows it. Null when there can be none.
 */
export async function canonicalRepository(
  { accounts, upstream }: Services,
  service: string,
  shown: string,
): Promise<(Target & { name: string }) | null> {
  if (!isRepositoryName(shown)) return null
  const mirror = mirrorOfService(service)
  if (mirror !== null) {
    const mount = upstream.mirrorCalled(CONTAINER, mirror)
    const owner = mount === null ? null : await accounts.findById(mount.owner.id)
    return owner === null ? null : { owner, type: CONTAINER, name: canonicalName(mount, shown) }
  }
  const [first, ...rest] = shown.split('/') as [string, ...string[]]
  const owner = rest.length === 0 ? null : ((await accounts.find(first)) ?? upstream.ownerCalled(first))
  if (owner === null) return null
  return { owner, type: CONTAINER, name: canonicalName(upstream.forOwner(owner.id, CONTAINER), rest.join('/')) }
}
