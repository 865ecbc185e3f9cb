import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { noise } from '../../support/builders/npm-tarball.ts'

const mediaType = {
  index: 'application/vnd.oci.image.index.v1+json',
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
} as const

export interface Descriptor {
  readonly mediaType: string
  /** `sha256:<hex>`. */
  readonly digest: string
  /** Bytes. */
  readonly size: number
  readonly platform?: { readonly os: string; readonly architecture: string }
}

/** A manifest of one platform, and what it is made of. */
export interface Image extends Descriptor {
  readonly config: Descriptor
  readonly layers: readonly Descriptor[]
}

export interface ImageOptions {
  /** Content of a file of the first layer; images of different texts share nothing. */
  readonly text: string
  /** Bytes of further layers, one for each, that do not compress. */
  readonly padding?: readonly number[]
  readonly architecture?: string
  /** Whether layers are gzip; they are unless told. */
  readonly gzip?: boolean
}

/** A directory of images as skopeo and podman name it `oci:<directory>:<tag>` (OCI image-spec, Image Layout). */
export class OciLayout {
  readonly directory: string
  readonly #tags = new Map<string, Descriptor>()

  private constructor(directory: string) {
    this.directory = directory
  }

  /** Creates the directory. */
  static async create(directory: string): Promise<OciLayout> {
    await mkdir(join(directory, 'blobs/sha256'), { recursive: true })
    await writeFile(join(directory, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}')
    return new OciLayout(directory)
  }

  /** What skopeo calls a tag of this layout. */
  reference(tag: string): string {
    return `oci:${this.directory}:${tag}`
  }

  /** Adds an image of files: `/hello` with the text, and padding. Same options, same bytes. */
  async addImage({ text, padding = [], architecture = 'amd64', gzip = true }: ImageOptions): Promise<Image> {
    const files = [
      await tarOf({ hello: Buffer.from(`${text}\n`) }),
      ...(await Promise.all(
        padding.map((size, n) => tarOf({ [`padding-${n}`]: Buffer.concat([Buffer.from(text), noise(size)]) })),
      )),
    ]
    const layers: Descriptor[] = []
    for (const tar of files) {
      const type = gzip ? `${mediaType.layer}+gzip` : mediaType.layer
      layers.push(await this.#write(type, gzip ? gzipSync(tar, { level: 1 }) : tar))
    }
    const config = await this.#writeJson(mediaType.config, {
      created: '2020-01-01T00:00:00Z',
      architecture,
      os: 'linux',
      config: { Cmd: ['/hello'], Labels: { 'org.opencontainers.image.description': text } },
      rootfs: { type: 'layers', diff_ids: files.map(digestOf) },
      history: files.map(() => ({ created: '2020-01-01T00:00:00Z', created_by: 'a test' })),
    })
    const manifest = { schemaVersion: 2, mediaType: mediaType.manifest, config, layers }
    const descriptor = await this.#writeJson(mediaType.manifest, manifest)
    return { ...descriptor, platform: { os: 'linux', architecture }, config, layers }
  }

  /** Adds an index of images. */
  async addIndex(images: readonly Image[]): Promise<Descriptor> {
    const manifests = images.map(({ config: _config, layers: _layers, ...descriptor }) => descriptor)
    return this.#writeJson(mediaType.index, { schemaVersion: 2, mediaType: mediaType.index, manifests })
  }

  /** Lets a tag mean this image or index. */
  async tag(tag: string, { mediaType: type, digest, size }: Descriptor): Promise<void> {
    this.#tags.set(tag, { mediaType: type, digest, size })
    const manifests = [...this.#tags].map(([name, descriptor]) => ({
      ...descriptor,
      annotations: { 'org.opencontainers.image.ref.name': name },
    }))
    await writeFile(join(this.directory, 'index.json'), JSON.stringify({ schemaVersion: 2, manifests }))
  }

  #writeJson(type: string, content: object): Promise<Descriptor> {
    return this.#write(type, Buffer.from(JSON.stringify(content)))
  }

  async #write(type: string, bytes: Buffer): Promise<Descriptor> {
    const digest = digestOf(bytes)
    await writeFile(join(this.directory, 'blobs', digest.replace(':', '/')), bytes)
    return { mediaType: type, digest, size: bytes.length }
  }
}

/** `sha256:<hex>` of bytes. */
export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`
}

/** The digest that a tag of a layout has, and all blobs there; throws for a blob that is not what its name says. */
export async function readLayout(directory: string): Promise<{ digest: string; blobs: string[] }> {
  const index = JSON.parse(await readFile(join(directory, 'index.json'), 'utf8'))
  const names = await readdir(join(directory, 'blobs/sha256'))
  for (const name of names) {
    const digest = digestOf(await readFile(join(directory, 'blobs/sha256', name)))
    if (digest !== `sha256:${name}`) throw new Error(`the blob ${name} is ${digest}`)
  }
  return { digest: index.manifests[0].digest, blobs: names.map((name) => `sha256:${name}`).sort() }
}

/** All that an image consists of, in the order of `readLayout`. */
export function blobsOf(...images: readonly (Image | Descriptor)[]): string[] {
  const digests = images.flatMap((image) => [
    image.digest,
    ...('config' in image ? [image.config.digest, ...image.layers.map(({ digest }) => digest)] : []),
  ])
  return [...new Set(digests)].sort()
}

async function tarOf(files: Record<string, Buffer>): Promise<Buffer> {
  const archive = pack()
  for (const [name, content] of Object.entries(files)) archive.entry({ name, mtime: new Date(0), mode: 0o755 }, content)
  archive.finalize()
  return buffer(archive)
}
