import type { ByteSource } from '../../storage/byte-source.ts'
import type { Digests } from '../../storage/digest.ts'

const HEADERS = {
  md5: 'x-checksum-md5',
  sha1: 'x-checksum-sha1',
  sha256: 'x-checksum-sha256',
  sha512: 'x-checksum-sha512',
}

/** The digests of a file, so that newer Mavens need not ask for them one by one (maven.md §5). */
export function checksumHeaders(digests: Partial<Digests>): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [algorithm, name] of Object.entries(HEADERS)) {
    const hex = digests[algorithm as keyof Digests]
    if (hex !== undefined) headers[name] = hex
  }
  return headers
}

/** A short text as something that can be sent. */
export function textSource(text: string): ByteSource & { size: number } {
  const bytes = Buffer.from(text)
  return {
    size: bytes.length,
    read: async (buffer, position) => bytes.copy(buffer, 0, Math.min(position, bytes.length)),
    close: () => {},
  }
}
