import { createHash } from 'node:crypto'

type Algorithm = 'sha256' | 'sha512'

/** As manifests name contents; a test may add fields. */
export interface Descriptor {
  mediaType: string
  digest: string
  size: number
  [field: string]: unknown
}

/** Bytes with the digest they have and the type they are named with. */
export interface Content {
  readonly bytes: Buffer
  readonly digest: string
  readonly mediaType: string
  readonly descriptor: Descriptor
}

/** A manifest, with the blobs that must be there before it. */
export interface Manifest extends Content {
  readonly blobs: readonly Content[]
}

/** What to make; what is left out is made up, and equal input gives equal bytes. */
export interface ImageInput {
  readonly config?: object | string | Content
  readonly configType?: string
  readonly layers?: readonly (string | Buffer | Content)[]
  readonly layerType?: string
  readonly algorithm?: Algorithm
  readonly mediaType?: string
  /** More fields of the manifest, or other values for those it has; undefined leaves one out. */
  readonly fields?: Readonly<Record<string, unknown>>
}

/** Media types by short names. */
export const types = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  index: 'application/vnd.oci.image.index.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar+gzip',
  empty: 'application/vnd.oci.empty.v1+json',
  helm: 'application/vnd.cncf.helm.config.v1+json',
} as const

/** `sha256:<hex>`. */
export function digestOf(bytes: Buffer, algorithm: Algorithm = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

/** A blob; an object becomes JSON. */
export function buildBlob(
  value: string | Buffer | object,
  mediaType = 'application/octet-stream',
  algorithm: Algorithm = 'sha256',
): Content {
  const isJson = typeof value === 'object' && !Buffer.isBuffer(value)
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(isJson ? JSON.stringify(value) : String(value))
  const digest = digestOf(bytes, algorithm)
  return { bytes, digest, mediaType, descriptor: { mediaType, digest, size: bytes.length } }
}

/** An image: one config and one layer unless told. */
export function buildImage(input: ImageInput = {}): Manifest {
  const { algorithm = 'sha256', mediaType = types.manifest } = input
  const config = toContent(input.config ?? { os: 'linux', architecture: 'amd64' }, input.configType ?? types.config)
  const layers = (input.layers ?? ['layer']).map((layer) => toContent(layer, input.layerType ?? types.layer))
  const document = {
    schemaVersion: 2,
    mediaType,
    config: config.descriptor,
    layers: layers.map(({ descriptor }) => descriptor),
    ...input.fields,
  }
  return { ...buildBlob(document, mediaType, algorithm), blobs: [config, ...layers] }

  function toContent(value: object | string | Buffer | Content, type: string): Content {
    return isContent(value) ? value : buildBlob(value, type, algorithm)
  }
}

/** An artifact as ORAS pushes it: the empty config and one blob. */
export function buildArtifact(artifactType: string, input: ImageInput & { subject?: Content } = {}): Manifest {
  const { subject, ...rest } = input
  const fields = { artifactType, ...(subject === undefined ? {} : { subject: subject.descriptor }), ...rest.fields }
  return buildImage({ config: '{}', configType: types.empty, layers: [artifactType], ...rest, fields })
}

/** An index over manifests; the blobs are left to its children. */
export function buildIndex(
  children: readonly { readonly child: Content; readonly platform?: object }[],
  {
    algorithm = 'sha256',
    mediaType = types.index,
    fields = {},
  }: Pick<ImageInput, 'algorithm' | 'mediaType' | 'fields'> = {},
): Manifest {
  const manifests = children.map(({ child, platform }) => ({ ...child.descriptor, ...(platform && { platform }) }))
  const document = { schemaVersion: 2, mediaType, manifests, ...fields }
  return { ...buildBlob(document, mediaType, algorithm), blobs: [] }
}

function isContent(value: object | string | Buffer): value is Content {
  return typeof value === 'object' && 'descriptor' in value
}
