import type { FastifyRequest } from 'fastify'
import { Invalid, NotFound } from '../../errors.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import type { TargetName } from '../package-type.ts'
import { CONTAINER } from './names.ts'
import { checkRepositoryName, parseRegistryPath, type Resource } from './path.ts'

/** What a request below `/v2` is about. */
export interface Address extends TargetName {
  readonly name: string
  readonly resource: Resource
  /** What the client calls the repository: a mount hides the mirror's name (pull-through.md §1.1). */
  readonly shown: string
  /** The mirror whose repository it is, where the client does not name one; null: the path begins with an owner. */
  readonly mount: Upstream | null
}

const addresses = new WeakMap<FastifyRequest, Address | null>()

/**
 * Parses the path, once. Null where no repository is named. Throws Invalid('name') for a malformed name, NotFound for
 * an `ns` that no upstream serves.
 */
export function addressOf(request: FastifyRequest): Address | null {
  const known = addresses.get(request)
  if (known !== undefined) return known
  const address = parse(request)
  addresses.set(request, address)
  return address
}

/**
 * The mirror whose repositories the whole path names: the one in the path before `/v2`, the one that has this host
 * name, or the one that `ns` asks for; null: the path begins with an owner (pull-through.md §1.1).
 */
export function mountOf(request: FastifyRequest): Upstream | null {
  const { upstream } = request.server.services
  const { mirror } = request.params as { mirror?: string }
  if (mirror === undefined) return upstream.mountedAt(CONTAINER, request.hostname)
  const mount = upstream.mirrorCalled(CONTAINER, mirror)
  if (mount === null) throw new NotFound('owner', mirror)
  return mount
}

function parse(request: FastifyRequest): Address | null {
  const path = (request.params as { '*'?: string })['*']
  const parsed = path === undefined ? null : parseRegistryPath(path)
  if (parsed === null) return null
  const { repository, resource } = parsed
  checkRepositoryName(repository)
  const mount = mountOf(request) ?? namespaceOf(request, repository)
  const shown = repository
  if (mount !== null) return { owner: mount.owner.name, name: canonicalName(mount, repository), resource, shown, mount }
  const [owner, ...rest] = repository.split('/') as [string, ...string[]]
  if (rest.length === 0) throw new Invalid(`${owner} names no image: use <owner>/<image>`, 'name')
  const mirror = request.server.services.upstream.mirrorCalled(CONTAINER, owner)
  return { owner, name: canonicalName(mirror, rest.join('/')), resource, shown, mount }
}

/**
 * The name by which an upstream knows a repository: Docker Hub's official images are in `library`, which clients leave
 * out where they do not know that they speak of Docker Hub (container.md §11). `mirror` null: a name of ours.
 */
export function canonicalName(mirror: Upstream | null, name: string): string {
  const namespace = mirror?.settings.options['defaultNamespace']
  return namespace === undefined || name.includes('/') ? name : `${String(namespace)}/${name}`
}

/** What `ns` asks for; null without one, and where the path itself begins with a mirror that serves it. */
function namespaceOf(request: FastifyRequest, repository: string): Upstream | null {
  const { ns } = request.query as { ns?: string | string[] }
  if (ns === undefined) return null
  const { upstream } = request.server.services
  const serving = typeof ns === 'string' ? upstream.serving(CONTAINER, ns) : null
  if (serving === null) throw new NotFound('upstream', String(ns).slice(0, 100))
  const first = repository.slice(0, repository.indexOf('/'))
  return upstream.mirrorCalled(CONTAINER, first) === serving ? null : serving
}
