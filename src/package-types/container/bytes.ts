import { TooLarge } from '../../errors.ts'
import type { ByteSource } from '../../storage/byte-source.ts'

/** Bytes in memory as something that can be sent. */
export function bufferSource(bytes: Buffer): ByteSource {
  return {
    size: bytes.length,
    read: async (buffer, position) => bytes.copy(buffer, 0, position),
    close: () => {},
  }
}

/** All bytes of a source, which is closed; TooLarge('manifest') beyond `limit` of them. */
export async function readAll(source: ByteSource, limit: number): Promise<Buffer> {
  try {
    let bytes = Buffer.allocUnsafe(Math.min(source.size ?? 64 * 1024, limit + 1))
    let length = 0
    for (;;) {
      if (length > limit) throw new TooLarge(`manifests have at most ${limit} bytes`, 'manifest')
      if (length === bytes.length) bytes = Buffer.concat([bytes], Math.min(2 * bytes.length + 1, limit + 1))
      const read = await source.read(bytes.subarray(length), length)
      if (read === 0) return bytes.subarray(0, length)
      length += read
    }
  } finally {
    source.close()
  }
}
