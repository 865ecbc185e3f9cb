import { isObject, type JsonObject } from './metadata.ts'
import { basename } from './names.ts'

/** The two forms of a package document: everything, or what installing needs (npm.md §3.2, §3.3). */
export type Form = 'full' | 'abbreviated'

/** The media types of the two forms. */
export const contentTypes: Record<Form, string> = {
  full: 'application/json',
  abbreviated: 'application/vnd.npm.install-v1+json',
}

/**
 * The form that an Accept header prefers: the better of the two by q, the one named first where they are equal. Full
 * without a preference, so for `*` too; yarn 4 sends no header at all (npm.md §3.1).
 */
export function preferredForm(accept: string | undefined): Form {
  let best: { form: Form; q: number } | null = null
  for (const part of (accept ?? '').split(',')) {
    const [type, ...parameters] = part.split(';').map((text) => text.trim().toLowerCase())
    const form = (['full', 'abbreviated'] as const).find((candidate) => contentTypes[candidate] === type)
    const weight = parameters.find((parameter) => parameter.startsWith('q='))
    const q = weight === undefined ? 1 : Number(weight.slice(2))
    if (form !== undefined && q > (best?.q ?? 0)) best = { form, q }
  }
  return best?.form ?? 'full'
}

/** A package document: put together from our rows, or as an upstream sent it. Unknown fields survive. */
export interface Packument extends JsonObject {
  readonly name: string
  readonly 'dist-tags': Readonly<Record<string, string>>
  readonly versions: Readonly<Record<string, JsonObject>>
  /** ISO 8601 times of `created`, `modified` and every version; absent when an upstream has none. */
  readonly time?: Readonly<Record<string, string>>
}

/** What a packument is rendered from. Nothing of it is changed. */
export interface PackumentInput {
  readonly document: Packument
  /** Opaque; changes with every change of the package. npm puts it into URLs. */
  readonly revision: string
}

const VERSION_FIELDS = [
  'name',
  'version',
  'dependencies',
  'optionalDependencies',
  'devDependencies',
  'bundleDependencies',
  'peerDependencies',
  'peerDependenciesMeta',
  'acceptDependencies',
  'bin',
  'directories',
  'engines',
  'cpu',
  'os',
  'libc',
  'funding',
  '_hasShrinkwrap',
] as const

/**
 * The JSON of a package as clients of `ownerName` get it: our tarball and attestation addresses and our `_rev`, all
 * else as it was (npm.md §3.2 to §3.4). `baseUrl` has no final slash. Only the objects that change are copied, and
 * those not deeply, so thousands of versions cost little more than their JSON.
 */
export function renderPackument(input: PackumentInput, form: Form, baseUrl: string, ownerName: string): Buffer {
  const { document, revision } = input
  const addresses = new Addresses(baseUrl, ownerName, document.name)
  const render = form === 'full' ? renderVersion : abbreviateVersion
  const versions = Object.fromEntries(
    Object.entries(document.versions).map(([version, manifest]) => [version, render(manifest, version, addresses)]),
  )
  if (form === 'full') {
    const { _attachments, _revisions, ...rest } = document
    return toBytes({ _id: document.name, ...rest, _rev: revision, versions })
  }
  const { time } = document
  return toBytes({
    name: document.name,
    ...(time?.['modified'] === undefined ? {} : { modified: time['modified'] }),
    'dist-tags': document['dist-tags'],
    versions,
    // Not in the original form; with it pnpm 12 needs no second request and age limits keep working.
    ...(time === undefined ? {} : { time }),
    // npm reports the versions that a policy hides by this.
    ...(document['policyRestrictions'] === undefined ? {} : { policyRestrictions: document['policyRestrictions'] }),
  })
}

/** The JSON of one version; `version` is its key in the document. */
export function renderManifest(document: Packument, version: string, baseUrl: string, ownerName: string): Buffer {
  return toBytes(renderVersion(document.versions[version]!, version, new Addresses(baseUrl, ownerName, document.name)))
}

/** Where clients find what belongs to one package. */
class Addresses {
  readonly #registry: string
  readonly #tarballs: string
  readonly #name: string

  constructor(baseUrl: string, ownerName: string, name: string) {
    this.#registry = `${baseUrl}/api/packages/${encodeURIComponent(ownerName)}/npm`
    this.#tarballs = `${this.#registry}/${encodePath(name)}/-/${encodePath(basename(name))}-`
    this.#name = name
  }

  tarball(version: string): string {
    return `${this.#tarballs}${encodePath(version)}.tgz`
  }

  attestations(version: string): string {
    return `${this.#registry}/-/npm/v1/attestations/${this.#name.replace('/', '%2f')}@${encodePath(version)}`
  }
}

function renderVersion(manifest: JsonObject, version: string, addresses: Addresses): JsonObject {
  return { ...manifest, dist: renderDist(manifest['dist'], version, addresses) }
}

function renderDist(dist: unknown, version: string, addresses: Addresses): JsonObject {
  const rendered: JsonObject = { ...(isObject(dist) ? dist : {}), tarball: addresses.tarball(version) }
  // npm keeps only the path of this address and asks our origin for it.
  const { attestations } = rendered
  if (isObject(attestations)) rendered['attestations'] = { ...attestations, url: addresses.attestations(version) }
  return rendered
}

function abbreviateVersion(manifest: JsonObject, version: string, addresses: Addresses): JsonObject {
  const short: JsonObject = {}
  for (const field of VERSION_FIELDS) {
    const value = manifest[field]
    if (value !== undefined) short[field] = value
  }
  const { bundledDependencies, deprecated, scripts, hasInstallScript } = manifest
  if (bundledDependencies !== undefined) short['bundleDependencies'] ??= bundledDependencies
  // Old documents have booleans here; clients print the text.
  if (deprecated === true) short['deprecated'] = 'this version is deprecated'
  else if (typeof deprecated === 'string' && deprecated !== '') short['deprecated'] = deprecated
  if (hasInstallScript === true || (hasInstallScript === undefined && runsScripts(scripts))) {
    short['hasInstallScript'] = true
  }
  short['dist'] = renderDist(manifest['dist'], version, addresses)
  return short
}

/** Full documents of upstreams name the scripts but not always this conclusion. */
function runsScripts(scripts: unknown): boolean {
  return isObject(scripts) && Boolean(scripts['preinstall'] ?? scripts['install'] ?? scripts['postinstall'])
}

/** Encodes what a path segment must not hold; `@` and `/` of a scope stay, as clients build these addresses so. */
function encodePath(text: string): string {
  return /^[\w.@/~-]*$/.test(text) ? text : text.split('/').map(encodeURIComponent).join('/').replace(/^%40/, '@')
}

function toBytes(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}
