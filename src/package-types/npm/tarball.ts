import { Readable, Transform, type TransformCallback } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { extract, type Header } from 'tar-stream'
import { Invalid } from '../../errors.ts'
import type { ByteSource } from '../../storage/blob-store.ts'

const READ_SIZE = 256 * 1024
const MAX_PACKAGE_JSON = 4 * 1024 * 1024
const MAX_ENTRIES = 100_000
/**
 * How much a tarball may unpack to: 256 MiB, or 20 times its own size where that is more. Real packages stay below
 * tenfold; a bomb of ten kilobytes costs at most the 256 MiB, under a second of one core.
 */
const MIN_UNPACKED_LIMIT = 256 * 1024 * 1024
const MAX_RATIO = 20

/** What a tarball says about itself. */
export interface TarballContents {
  /** Its package.json as written. */
  readonly packageJson: Readonly<Record<string, unknown>>
  readonly fileCount: number
  /** Sum of the files' sizes, bytes. */
  readonly unpackedSize: number
  readonly hasShrinkwrap: boolean
  /** There is a `*.gyp` beside package.json: npm compiles such a package unless told otherwise. */
  readonly hasGypFile: boolean
}

/**
 * Reads a gzipped tar of `size` bytes as a stream; nothing is unpacked to disk. Invalid when it is not one, is cut
 * off, unpacks to more than its limit or to over 100,000 entries, holds a path that leaves its folder, or does not
 * hold exactly one `<folder>/package.json`: with two, clients differ in which one they use (security.md S25, S31,
 * S35, S36). Closes `source`.
 */
export async function inspectTarball(source: ByteSource, size: number): Promise<TarballContents> {
  const reader = new EntryReader()
  const unpack = extract({ allowUnknownFormat: true } as object)
  unpack.on('entry', (header, stream, next) => {
    // An entry fails together with the archive, which says why.
    stream.on('error', () => {})
    try {
      const keep = reader.see(header)
      stream.on('data', (chunk) => keep?.push(chunk as Buffer))
      stream.on('end', next)
      stream.resume()
    } catch (error) {
      next(error as Error)
    }
  })
  try {
    await pipeline(
      Readable.from(readAll(source), { objectMode: false }),
      createGunzip({ chunkSize: READ_SIZE }),
      new UnpackedLimit(Math.max(MIN_UNPACKED_LIMIT, size * MAX_RATIO)),
      unpack,
    )
  } catch (error) {
    throw error instanceof Invalid ? error : new Invalid('the tarball cannot be read', 'file', error)
  } finally {
    source.close()
  }
  return reader.contents()
}

async function* readAll(source: ByteSource): AsyncGenerator<Buffer> {
  for (let position = 0; ; ) {
    // A new buffer each time: zlib reads it in another thread while the next one is filled.
    const buffer = Buffer.allocUnsafe(READ_SIZE)
    const length = await source.read(buffer, position)
    if (length === 0) return
    position += length
    yield buffer.subarray(0, length)
  }
}

class UnpackedLimit extends Transform {
  #left: number

  constructor(limit: number) {
    super()
    this.#left = limit
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#left -= chunk.length
    if (this.#left < 0) done(new Invalid('the tarball unpacks to too much', 'file'))
    else done(null, chunk)
  }
}

class EntryReader {
  #packageJson: Buffer[] | null = null
  #entries = 0
  #fileCount = 0
  #unpackedSize = 0
  #hasShrinkwrap = false
  #hasGypFile = false

  /** Looks at one entry; the result, if any, takes its bytes. */
  see(header: Header): Buffer[] | null {
    this.#entries += 1
    if (this.#entries > MAX_ENTRIES) throw new Invalid(`the tarball has over ${MAX_ENTRIES} entries`, 'file')
    // Kinds that only some tar programs know would let two programs see two different trees.
    if (!header.type) throw new Invalid('the tarball has an entry of unknown kind', 'file')
    const segments = pathSegments(header.name)
    const topLevel = segments.length === 2 ? segments[1]!.toLowerCase() : null
    if (header.type === 'directory') return null
    const isFile = header.type === 'file' || header.type === 'contiguous-file'
    if (isFile) {
      this.#fileCount += 1
      this.#unpackedSize += header.size ?? 0
      this.#hasShrinkwrap ||= topLevel === 'npm-shrinkwrap.json'
      this.#hasGypFile ||= topLevel?.endsWith('.gyp') === true
    }
    if (topLevel !== 'package.json') return null
    if (!isFile || this.#packageJson !== null) throw new Invalid('the tarball has two package.json, or a link', 'file')
    if ((header.size ?? 0) > MAX_PACKAGE_JSON) throw new Invalid('the package.json is too large', 'file')
    this.#packageJson = []
    return this.#packageJson
  }

  contents(): TarballContents {
    if (this.#packageJson === null) throw new Invalid('the tarball has no package.json', 'file')
    return {
      packageJson: parsePackageJson(Buffer.concat(this.#packageJson)),
      fileCount: this.#fileCount,
      unpackedSize: this.#unpackedSize,
      hasShrinkwrap: this.#hasShrinkwrap,
      hasGypFile: this.#hasGypFile,
    }
  }
}

function pathSegments(path: string): string[] {
  const segments = path.replaceAll('\\', '/').split('/')
  if (path.includes('\0') || segments[0] === '' || /^[a-z]:/i.test(path) || segments.includes('..')) {
    throw new Invalid('the tarball has a path that leaves its folder', 'file')
  }
  return segments.filter((segment) => segment !== '' && segment !== '.')
}

function parsePackageJson(bytes: Buffer): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8').replace(/^\ufeff/, ''))
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch {
    // Answered below.
  }
  throw new Invalid("the tarball's package.json is not a JSON object", 'file')
}
