import { cacheWishesOf } from '../../http/cache-wishes.ts'
import type { Services } from '../../services.ts'
import type { Call } from './call.ts'
import { HostedImages } from './hosted.ts'
import { MirrorMemory } from './mirror-memory.ts'
import { MirroredImages } from './mirrored.ts'
import { CONTAINER } from './names.ts'
import type { ContainerSource } from './source.ts'

const memories = new WeakMap<Services, MirrorMemory>()

/** Where the images of a name come from: our rows, or an upstream. Throws UpstreamUnavailable when that is unclear. */
export async function sourceOf({
  request,
  owner,
  name,
}: Pick<Call, 'request' | 'owner' | 'name'>): Promise<ContainerSource> {
  const { services } = request.server
  const resolution = await services.upstream.resolve(request.doer, owner, CONTAINER, name)
  if (resolution.kind !== 'mirror') return new HostedImages(services, owner)
  const source = { ...resolution, wishes: cacheWishesOf(request.headers) }
  return new MirroredImages(services, memoryOf(services), name, source)
}

function memoryOf(services: Services): MirrorMemory {
  let memory = memories.get(services)
  if (memory === undefined) {
    memory = new MirrorMemory()
    memories.set(services, memory)
  }
  return memory
}
