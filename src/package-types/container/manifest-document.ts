import { Invalid } from '../../errors.ts'
import { parseDigest } from '../../storage/digest.ts'
import { isNonDistributable, kindOfManifest, type ManifestKind } from './media-types.ts'

/** Bytes of a manifest. The distribution-spec wants 4 MB to work; clients refuse to pull much more (container.md §5). */
export const MAX_MANIFEST = 6 * 1024 * 1024
/** Layers of an image or manifests of an index: each costs rows. */
const MAX_DESCRIPTORS = 10_000
// A megabyte of nothing but brackets or keys keeps the parser, and with it the server, busy for a second.
const MAX_DEPTH = 100
const MAX_VALUES = 200_000

/** What a manifest says of a blob or another manifest (OCI image-spec, Content Descriptors). */
export interface Descriptor {
  readonly mediaType: string
  /** Well-formed, sha256 or sha512. */
  readonly digest: string
  /** Bytes. */
  readonly size: number
  /** `os/architecture[/variant]`; null where it names none. */
  readonly platform: string | null
}

/** What a manifest says, as far as a registry has to know. The bytes themselves are what is kept and served. */
export interface ManifestDocument {
  readonly kind: ManifestKind
  readonly mediaType: string
  /** Null for an index. */
  readonly config: Descriptor | null
  readonly layers: readonly Descriptor[]
  /** Children of an index. */
  readonly manifests: readonly Descriptor[]
  readonly subject: Descriptor | null
  /** As referrers show it: of an image its `artifactType`, else the type of its config; null for an index without. */
  readonly artifactType: string | null
  readonly annotations: Readonly<Record<string, string>>
}

type JsonObject = Readonly<Record<string, unknown>>

/**
 * Reads a manifest of type `contentType`, which must be the one that it claims itself; null: what it claims. Throws
 * Invalid('manifest') for what is no manifest, not even partly, or could be taken for two kinds at once
 * (CVE-2021-41190).
 */
export function parseManifest(bytes: Buffer, contentType: string | null = null): ManifestDocument {
  const document = parseObject(bytes)
  const claimed = readText(document, 'mediaType')
  if (contentType !== null && claimed !== null && claimed !== contentType) {
    throw invalid(`it claims to be ${claimed} and comes as ${contentType}`)
  }
  const mediaType = contentType ?? claimed
  if (mediaType === null) throw invalid('neither Content-Type nor mediaType tells what it is')
  const kind = kindOfManifest(mediaType)
  if (kind === null) throw invalid(`manifests of type ${mediaType} are not supported`)
  if (document['schemaVersion'] !== 2) throw invalid('schemaVersion is not 2')
  const foreign = kind === 'image' ? ['manifests', 'fsLayers'] : ['config', 'layers', 'fsLayers']
  const ambiguous = foreign.find((field) => isGiven(document, field))
  if (ambiguous !== undefined) throw invalid(`${mediaType} has no ${ambiguous}`)

  const config = kind === 'image' ? readDescriptor(document['config'], 'config') : null
  return {
    kind,
    mediaType,
    config,
    layers: kind === 'image' ? readDescriptors(document, 'layers') : [],
    manifests: kind === 'index' ? readDescriptors(document, 'manifests') : [],
    subject: isGiven(document, 'subject') ? readDescriptor(document['subject'], 'subject') : null,
    artifactType: readText(document, 'artifactType') ?? config?.mediaType ?? null,
    annotations: readAnnotations(document),
  }
}

/** The blobs that have to be in the repository before the manifest: config and distributable layers. They may repeat. */
export function blobsOf({ config, layers }: ManifestDocument): Descriptor[] {
  const stored = layers.filter(({ mediaType }) => !isNonDistributable(mediaType))
  return config === null ? stored : [config, ...stored]
}

/** Each digest once, the first time. */
export function distinct(descriptors: readonly Descriptor[]): Descriptor[] {
  const byDigest = new Map<string, Descriptor>()
  for (const descriptor of descriptors) {
    if (!byDigest.has(descriptor.digest)) byDigest.set(descriptor.digest, descriptor)
  }
  return [...byDigest.values()]
}

function parseObject(bytes: Buffer): JsonObject {
  checkShape(bytes)
  let value: unknown
  try {
    // A byte order mark is kept, and is then no JSON, as for all clients.
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch {
    throw invalid('it is not valid JSON')
  }
  if (!isObject(value)) throw invalid('it is no object')
  return value
}

/** Throws for JSON that nests deeper, or has more values, than any manifest; what is no JSON is left to the parser. */
function checkShape(bytes: Buffer): void {
  let depth = 0
  let values = 0
  let isText = false
  for (let index = 0; index < bytes.length; index += 1) {
    const byte = bytes[index]
    if (byte === QUOTE) isText = !isText
    else if (isText) index += byte === BACKSLASH ? 1 : 0
    else if (byte === COMMA) values += 1
    // `[` and `{`, `]` and `}` differ in one bit.
    else if ((byte! | 0x20) === OPENING) depth += 1
    else if ((byte! | 0x20) === CLOSING) depth -= 1
    if (depth > MAX_DEPTH || values > MAX_VALUES) throw invalid('it is too complex')
  }
}

const [QUOTE, BACKSLASH, COMMA, OPENING, CLOSING] = [...'"\\,{}'].map((character) => character.charCodeAt(0))

function readDescriptors(document: JsonObject, field: string): Descriptor[] {
  // Go's encoders write null for an empty list.
  const list = document[field] ?? []
  if (!Array.isArray(list)) throw invalid(`${field} is no list`)
  if (list.length > MAX_DESCRIPTORS) throw invalid(`${field} has more than ${MAX_DESCRIPTORS} entries`)
  return list.map((entry: unknown, index) => readDescriptor(entry, `${field}[${index}]`))
}

function readDescriptor(value: unknown, where: string): Descriptor {
  if (!isObject(value)) throw invalid(`${where} is no descriptor`)
  const { digest, size } = value
  const mediaType = readText(value, 'mediaType')
  if (mediaType === null) throw invalid(`${where} has no mediaType`)
  if (typeof digest !== 'string' || parseDigest(digest) === null) throw invalid(`${where} has no valid digest`)
  if (!Number.isSafeInteger(size) || (size as number) < 0) throw invalid(`${where} has no valid size`)
  return { mediaType, digest, size: size as number, platform: readPlatform(value['platform']) }
}

function readPlatform(platform: unknown): string | null {
  if (!isObject(platform)) return null
  const { os, architecture, variant } = platform
  return formatPlatform(os, architecture, variant)
}

/** `os/architecture[/variant]`; null unless both are given. */
export function formatPlatform(os: unknown, architecture: unknown, variant: unknown): string | null {
  if (!isFilled(os) || !isFilled(architecture)) return null
  return [os, architecture, ...(isFilled(variant) ? [variant] : [])].join('/')
}

function readAnnotations(document: JsonObject): Record<string, string> {
  const annotations = document['annotations'] ?? {}
  if (!isObject(annotations)) throw invalid('annotations is no object')
  for (const key of Object.keys(annotations)) {
    if (typeof annotations[key] !== 'string') throw invalid('an annotation is no text')
  }
  return annotations as Record<string, string>
}

/** The text in a field; null where it is absent or empty. */
function readText(object: JsonObject, field: string): string | null {
  const value = object[field] ?? ''
  if (typeof value !== 'string') throw invalid(`${field} is no text`)
  return value === '' ? null : value
}

function isGiven(document: JsonObject, field: string): boolean {
  return document[field] !== undefined && document[field] !== null
}

function isFilled(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(reason: string): Invalid {
  return new Invalid(`invalid manifest: ${reason}`, 'manifest')
}
