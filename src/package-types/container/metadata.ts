import { distinct, formatPlatform, type ManifestDocument } from './manifest-document.ts'
import { kindOfConfig } from './media-types.ts'

/** Bytes of a config that is read; what is larger is stored and served, but tells nothing. */
export const MAX_CONFIG = 8 * 1024 * 1024
/** Characters of JSON that labels, history, children and annotations may each take: every list shows them. */
export const MAX_PART = 256 * 1024
const MAX_TEXT = 4096

const DEFAULT_PLATFORM = 'linux/amd64'
const UNKNOWN_PLATFORM = 'unknown/unknown'
const NO_OPERATION = '#(nop) '

/** What the config of an image or chart tells (container.md §14). */
export interface ConfigFacts {
  readonly type: 'oci' | 'helm'
  readonly platform?: string
  readonly description?: string
  readonly authors?: readonly string[]
  readonly license?: string
  readonly project_url?: string
  readonly repository_url?: string
  readonly documentation_url?: string
  readonly labels?: Readonly<Record<string, string>>
  /** Commands that made the layers. */
  readonly layer_creation?: readonly string[]
}

/** A child of an index. */
export interface ChildMetadata {
  readonly platform: string
  readonly digest: string
  /** Bytes of manifest, config and layers; of the manifest alone while the rest is not known. */
  readonly size: number
}

/** `metadata_json` of a version: Gitea's fields, and what lists need to know of a manifest without reading it. */
export interface ImageMetadata extends ConfigFacts {
  readonly is_tagged: boolean
  readonly manifests?: readonly ChildMetadata[]
  /** Bytes of manifest, config and layers, or of manifest and children; equal blobs count once. */
  readonly size: number
  readonly media_type: string
  readonly artifact_type?: string
  /** Absent also when they are too large to be listed. */
  readonly annotations?: Readonly<Record<string, string>>
}

type JsonObject = Readonly<Record<string, unknown>>

/**
 * The metadata of a manifest of `size` bytes. `config` is null where there is none that is understood, or it is not
 * here yet. `childSizes` has bytes by digest; the descriptor's size stands in for those it lacks.
 */
export function metadataOfManifest(
  document: ManifestDocument,
  config: ConfigFacts | null,
  isTagged: boolean,
  size: number,
  childSizes: ReadonlyMap<string, number> = new Map(),
): ImageMetadata {
  const { mediaType, artifactType, annotations } = document
  const children = document.manifests.map(({ digest, platform, size }) => ({
    platform: platform ?? UNKNOWN_PLATFORM,
    digest,
    size: childSizes.get(digest) ?? size,
  }))
  const parts = distinct([...(document.config === null ? [] : [document.config]), ...document.layers])
  const all = [...parts, ...new Map(children.map((child) => [child.digest, child])).values()]
  return {
    type: 'oci',
    ...config,
    is_tagged: isTagged,
    ...filled({ manifests: bounded(children) ?? [] }),
    size: all.reduce((sum, part) => sum + part.size, size),
    media_type: mediaType,
    ...(artifactType === null ? {} : { artifact_type: artifactType }),
    ...filled({ annotations: bounded(annotations) ?? {} }),
  }
}

/** The metadata of a tag of the manifest: there may be many, so they leave the annotations to it. */
export function metadataOfTag(metadata: object | null): object {
  return { ...metadata, annotations: undefined, is_tagged: true }
}

/**
 * Reads a config; null for a type that must not be read. What cannot be read as its type says is no error: the image
 * works for whoever understands it (container.md §14).
 */
export function readImageConfig(mediaType: string, bytes: Buffer): ConfigFacts | null {
  const type = kindOfConfig(mediaType)
  if (type === null) return null
  const config = parseObject(bytes)
  if (type === 'helm') return { type, ...(config === null ? {} : readChart(config)) }
  return { type, ...(config === null ? { platform: UNKNOWN_PLATFORM } : readImage(config)) }
}

function readImage(config: JsonObject): Omit<ConfigFacts, 'type'> {
  const labels = readTexts(toObject(config['config'])['Labels'])
  const label = (name: string) => toText(labels[`org.opencontainers.image.${name}`])
  const author = label('authors') || toText(config['author'])
  return {
    platform: formatPlatform(config['os'], config['architecture'], config['variant']) ?? DEFAULT_PLATFORM,
    ...filled({
      description: label('description'),
      authors: author === '' ? [] : [author],
      license: label('licenses'),
      project_url: toUrl(label('url')),
      repository_url: toUrl(label('source')),
      documentation_url: toUrl(label('documentation')),
      labels: bounded(labels) ?? {},
      layer_creation: bounded(toList(config['history']).map(toCommand).filter(Boolean)) ?? [],
    }),
  }
}

function readChart(chart: JsonObject): Omit<ConfigFacts, 'type'> {
  const maintainers = toList(chart['maintainers']).map((maintainer) => toText(toObject(maintainer)['name']))
  return filled({
    description: toText(chart['description']),
    authors: bounded(maintainers.filter(Boolean)) ?? [],
    project_url: toUrl(toText(chart['home'])),
    repository_url: toUrl(toText(toList(chart['sources'])[0])),
  })
}

/** What a history entry ran: `/bin/sh -c #(nop)  CMD ["sh"]` did nothing but set `CMD ["sh"]`. */
function toCommand(entry: unknown): string {
  const text = toText(toObject(entry)['created_by'])
  const start = text.indexOf(NO_OPERATION)
  return (start === -1 ? text : text.slice(start + NO_OPERATION.length)).trim()
}

/** Only web addresses: these become links. */
function toUrl(text: string): string {
  if (text === '' || !URL.canParse(text)) return ''
  return ['http:', 'https:'].includes(new URL(text).protocol) ? text : ''
}

function parseObject(bytes: Buffer): JsonObject | null {
  try {
    const value: unknown = JSON.parse(bytes.toString('utf8'))
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as JsonObject) : null
  } catch {
    return null
  }
}

function toObject(value: unknown): JsonObject {
  return typeof value === 'object' && value !== null ? (value as JsonObject) : {}
}

function toList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

/** Cut to what a list can show; empty for what is no text. */
function toText(value: unknown): string {
  return typeof value === 'string' ? value.slice(0, MAX_TEXT) : ''
}

function readTexts(value: unknown): Record<string, string> {
  return Object.fromEntries(
    Object.entries(toObject(value)).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

/** Null for what is too large to be shown. */
function bounded<T extends object>(value: T): T | null {
  return JSON.stringify(value).length <= MAX_PART ? value : null
}

/** Without empty texts, lists and objects. */
function filled<T extends object>(fields: T): Partial<T> {
  const isEmpty = (value: unknown) =>
    value === '' || (typeof value === 'object' && value !== null && Object.keys(value).length === 0)
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => !isEmpty(value))) as Partial<T>
}
