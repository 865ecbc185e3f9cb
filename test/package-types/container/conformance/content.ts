import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { gzipSync } from 'node:zlib'

export type Algorithm = 'sha256' | 'sha512'

export const mediaType = {
  image: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  gzipLayer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  foreignLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar',
  foreignGzipLayer: 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip',
  empty: 'application/vnd.oci.empty.v1+json',
  octets: 'application/octet-stream',
  example: 'application/vnd.entrepot.example.v1',
  otherExample: 'application/vnd.entrepot.example.v2',
} as const

/** OCI image-spec, Content Descriptors. */
export interface Descriptor {
  mediaType: string
  digest: string
  size: number
  [field: string]: unknown
}

/** A manifest ready to be pushed. */
export interface Manifest {
  readonly descriptor: Descriptor
  readonly bytes: Buffer
}

/** How a manifest, and what it names, is to be made. */
export interface Making {
  algorithm?: Algorithm
  artifactType?: string
  annotations?: Record<string, string>
  subject?: Descriptor
  tag?: string
  /** Base64 of the content in every descriptor. */
  withData?: boolean
  /** Fields that no specification knows, in configs and manifests. */
  withUnknownFields?: boolean
}

export function digestOf(bytes: Buffer, algorithm: Algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

export function describeBytes(bytes: Buffer, type: string, algorithm: Algorithm = 'sha256'): Descriptor {
  return { mediaType: type, digest: digestOf(bytes, algorithm), size: bytes.length }
}

/** What one workflow pushes: blobs and manifests in the order in which they can be pushed. */
export class Content {
  readonly blobs = new Map<string, Buffer>()
  readonly manifests: Manifest[] = []
  readonly tags = new Map<string, Manifest>()

  /** Adds a blob that will be pushed. */
  blob(bytes: Buffer, type: string, making: Making = {}): Descriptor {
    const descriptor = describeBytes(bytes, type, making.algorithm)
    this.blobs.set(descriptor.digest, bytes)
    return making.withData ? { ...descriptor, data: bytes.toString('base64') } : descriptor
  }

  /** A layer that no other has the bytes of. */
  layer(making: Making & { compressed?: boolean } = {}): Descriptor {
    const bytes = Buffer.concat([Buffer.alloc(512, 'layer'), randomBytes(64)])
    return making.compressed === false
      ? this.blob(bytes, mediaType.layer, making)
      : this.blob(gzipSync(bytes), mediaType.gzipLayer, making)
  }

  config(making: Making & { architecture?: string } = {}): Descriptor {
    const config = {
      author: randomUUID(),
      architecture: making.architecture ?? 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [] },
      ...unknownField(making),
    }
    return this.blob(Buffer.from(JSON.stringify(config)), mediaType.config, making)
  }

  image(making: Making & { architecture?: string; config?: Descriptor; layers?: Descriptor[] } = {}): Manifest {
    const config = making.config ?? this.config(making)
    return this.#manifest(mediaType.image, making, {
      config,
      layers: making.layers ?? [this.layer(making), this.layer(making)],
    })
  }

  /** An image manifest whose config is the empty one. */
  artifact(making: Making & { layers?: Descriptor[] } = {}): Manifest {
    const config = this.blob(Buffer.from('{}'), mediaType.empty, making)
    const layers = making.layers ?? [this.blob(randomBytes(2048), making.artifactType ?? mediaType.octets, making)]
    return this.image({ ...making, config, layers })
  }

  index(children: readonly Descriptor[], making: Making = {}): Manifest {
    return this.#manifest(mediaType.index, making, { manifests: children })
  }

  /** An index of two images, of one platform each. */
  platforms(making: Making = {}): Manifest {
    const { tag: _tag, subject: _subject, ...child } = making
    const children = ['amd64', 'arm64'].map((architecture) => ({
      ...this.image({ ...child, architecture }).descriptor,
      platform: { os: 'linux', architecture },
    }))
    return this.index(children, making)
  }

  #manifest(type: string, making: Making, fields: object): Manifest {
    const { artifactType, subject, annotations } = making
    const document = { schemaVersion: 2, mediaType: type, artifactType, ...fields, subject, annotations }
    const bytes = Buffer.from(JSON.stringify({ ...document, ...unknownField(making) }))
    const descriptor = describeBytes(bytes, type, making.algorithm)
    const manifest = {
      bytes,
      descriptor: making.withData ? { ...descriptor, data: bytes.toString('base64') } : descriptor,
    }
    this.manifests.push(manifest)
    if (making.tag !== undefined) this.tags.set(making.tag, manifest)
    return manifest
  }
}

function unknownField(making: Making): object {
  return making.withUnknownFields ? { [`org.example.${randomUUID()}`]: randomUUID() } : {}
}
