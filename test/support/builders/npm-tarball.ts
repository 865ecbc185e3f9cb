import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'

export interface NpmTarball {
  readonly bytes: Buffer
  /** `sha512-<base64>` of the bytes. */
  readonly integrity: string
  /** sha1 of the bytes, lower-case hex. */
  readonly shasum: string
}

/**
 * A real npm tarball: gzip over tar with `package/package.json` and the given files below `package/`. The same input
 * gives the same bytes. `padding` adds a file of so many bytes that do not compress.
 */
export async function buildNpmTarball(
  manifest: Record<string, unknown>,
  options: { files?: Record<string, string | Buffer>; padding?: number } = {},
): Promise<NpmTarball> {
  const archive = pack()
  const mtime = new Date(499162500000)
  archive.entry({ name: 'package/package.json', mtime }, JSON.stringify(manifest, null, 2))
  for (const [name, content] of Object.entries(options.files ?? { 'index.js': 'module.exports = true\n' })) {
    archive.entry({ name: `package/${name}`, mtime }, content)
  }
  if (options.padding) archive.entry({ name: 'package/padding.bin', mtime }, noise(options.padding))
  archive.finalize()
  const bytes = gzipSync(await buffer(archive), { level: 1 })
  return { bytes, integrity: integrityOf(bytes), shasum: createHash('sha1').update(bytes).digest('hex') }
}

/** `sha512-<base64>`. */
export function integrityOf(bytes: Buffer): string {
  return `sha512-${createHash('sha512').update(bytes).digest('base64')}`
}

/** Bytes that do not compress, the same for the same size. */
export function noise(size: number): Buffer {
  const bytes = Buffer.allocUnsafe(size)
  let state = 0x9e3779b9
  for (let i = 0; i < size; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state & 0xff
  }
  return bytes
}
