import { createHash } from 'node:crypto'
import type { Digest } from '../../src/storage/digest.ts'
import type { ArtifactLocation } from '../../src/upstream/adapter.ts'
import type { ArtifactRequest, OpenedArtifact } from '../../src/upstream/artifacts.ts'
import type { TestEngine } from '../support/test-engine.ts'

/** The SHA-256 of bytes, lower-case hex. */
export function sha256(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

/** As it is published. */
export function digestOf(bytes: Buffer): Digest {
  return { algorithm: 'sha256', hex: sha256(bytes) }
}

/** The artifact at a path of the upstream, as a slice would ask for it. */
export function wanted(
  engine: TestEngine,
  path: string,
  location: Partial<ArtifactLocation> = {},
  changes: Partial<ArtifactRequest> = {},
): ArtifactRequest {
  return {
    key: path,
    method: 'GET',
    locate: async () => ({ url: path, digest: null, ...location }),
    file: async (content, properties, also) => {
      const info = { owner: engine.upstream.owner, type: 'probe', name: 'app', version: '1', metadata: {} }
      const filename = path.replaceAll('/', '_')
      const file = { filename, content, isLead: true, overwrite: true, properties }
      await engine.services.packages.addCachedFile(info, file, also)
    },
    ...changes,
  }
}

/** Opens it. */
export function open(engine: TestEngine, request: ArtifactRequest): Promise<OpenedArtifact> {
  return engine.services.upstream.artifacts.open(engine.upstream, request)
}

/** What a client got, and what the rest failed of; null: it ended well. */
export interface Received {
  readonly bytes: Buffer
  readonly failure: unknown
}

/** Reads from `start` to the end, a piece at a time; `onBytes` may hold it up or throw. */
export async function receive(
  opened: OpenedArtifact,
  { start = 0, onBytes }: { start?: number; onBytes?: (received: number) => unknown } = {},
): Promise<Received> {
  const source = await opened.source()
  const chunks: Buffer[] = []
  let size = 0
  try {
    for (;;) {
      const buffer = Buffer.allocUnsafe(256 * 1024)
      const read = await source.read(buffer, start + size)
      if (read === 0) return { bytes: Buffer.concat(chunks), failure: null }
      chunks.push(buffer.subarray(0, read))
      size += read
      await onBytes?.(size)
    }
  } catch (failure) {
    return { bytes: Buffer.concat(chunks), failure }
  } finally {
    source.close()
  }
}
