import { Invalid, UpstreamUnavailable } from '../../errors.ts'
import type { VersionListing } from '../../policies/listing.ts'
import { parseIntegrity } from '../../storage/digest.ts'
import type { ArtifactLocation, DocumentRequest } from '../../upstream/adapter.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import { isObject, type JsonObject } from './metadata.ts'
import type { Packument } from './packument.ts'

/** Real documents have less than twenty levels; with thousands JSON can be read but not be written again. */
const MAX_DEPTH = 200

/** An upstream's document of one package, checked as far as we rely on it. */
export class UpstreamPackument {
  readonly document: Packument
  #byFile: Map<string, string> | null = null

  constructor(document: Packument) {
    this.document = document
  }

  /** When the package last changed, ms; null when the upstream does not say. */
  get modified(): number | null {
    return parseTime(this.document.time?.['modified'] ?? '')
  }

  /** The version whose tarball has this last path segment, or null. */
  versionOfFile(file: string): string | null {
    this.#byFile ??= new Map(
      Object.entries(this.document.versions).flatMap(([version, manifest]) => {
        const url = tarballOf(manifest)
        return url === null
          ? []
          : [[decodeSegment(url.slice(url.lastIndexOf('/') + 1).replace(/[?#].*$/, '')), version]]
      }),
    )
    return this.#byFile.get(file) ?? null
  }
}

/** The full document of a package: the other form, and everything about its files, is derived from it (npm.md §14). */
export function packumentRequest(name: string): DocumentRequest<UpstreamPackument> {
  return {
    kind: 'packument',
    key: name,
    path: encodeName(name),
    accept: 'application/json',
    parse: (body) => parsePackument(name, body),
    isOlder,
    links: ({ document }) => Object.values(document.versions).flatMap((manifest) => tarballOf(manifest) ?? []),
    listing: listingOf,
  }
}

/** The versions, and when each was published as the upstream says. */
export function listingOf({ document, modified }: UpstreamPackument): VersionListing {
  const times = document.time ?? {}
  const timeOf = (version: string) => (Object.hasOwn(times, version) ? parseTime(times[version]!) : null)
  const published = new Map(Object.keys(document.versions).map((version) => [version, timeOf(version)]))
  return { kind: 'versions', name: document.name, published, modified }
}

function parseTime(text: string): number | null {
  const time = Date.parse(text)
  return Number.isNaN(time) ? null : time
}

/** Told by the time of the last change; a document that lists a version more is newer, whatever its times say. */
function isOlder(candidate: UpstreamPackument, held: UpstreamPackument): boolean {
  if (candidate.modified === null || held.modified === null || candidate.modified >= held.modified) return false
  return Object.keys(candidate.document.versions).every((version) => Object.hasOwn(held.document.versions, version))
}

/** Where the upstream says a version's tarball is, and what its bytes must be. Throws UpstreamUnavailable. */
export function locateTarball(
  upstream: Upstream,
  name: string,
  version: string,
  manifest: JsonObject,
): ArtifactLocation {
  const { url: base, artifactHosts, name: upstreamName } = upstream.settings
  const tarball = tarballOf(manifest)
  const url = tarball !== null && URL.canParse(tarball, base.href) ? new URL(tarball, base.href) : null
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new UpstreamUnavailable(`upstream ${upstreamName} names no tarball for ${name}@${version}`)
  }
  url.username = url.password = ''
  const dist = isObject(manifest['dist']) ? manifest['dist'] : {}
  const digest = digestOf(dist)
  if (url.origin === base.origin || artifactHosts.includes(url.host) || artifactHosts.includes(url.hostname)) {
    return { url: url.href, digest }
  }
  // Registries that copy another's documents leave its host in them, as npm's replace-registry-host knows. The same
  // path below the upstream itself is asked; the foreign host never is.
  const path = `${name}/-/`
  const at = decodeSegment(url.pathname).lastIndexOf(`/${path}`)
  if (at === -1) {
    throw new UpstreamUnavailable(
      `upstream ${upstreamName} keeps ${name}@${version} on ${url.host}, which is not among its artifactHosts`,
      {
        detail: 'FOREIGN_HOST',
      },
    )
  }
  return { url: new URL(`${path}${url.pathname.slice(url.pathname.lastIndexOf('/') + 1)}`, base).href, digest }
}

function parsePackument(name: string, body: Buffer): UpstreamPackument {
  const document: unknown = JSON.parse(body.toString('utf8'))
  if (!isObject(document)) throw new Invalid('it is no JSON object')
  if (document['name'] !== name) throw new Invalid(`it is about ${JSON.stringify(document['name'])}`)
  const versions = isObject(document['versions']) ? document['versions'] : {}
  const tags = isObject(document['dist-tags']) ? document['dist-tags'] : {}
  // A package whose versions were all withdrawn has neither; what is listed must be objects.
  if (!Object.values(versions).every(isObject)) throw new Invalid('a version is no object')
  if (!Object.values(tags).every((tag) => typeof tag === 'string')) throw new Invalid('a dist-tag is no string')
  // It could not be put into the address of its tarball.
  if (!Object.keys(versions).every(isWellFormed)) throw new Invalid('a version is no text')
  if (isDeeperThan(document, MAX_DEPTH)) throw new Invalid(`it is nested over ${MAX_DEPTH} levels`)
  const { time, ...rest } = document
  const times = isObject(time)
    ? Object.fromEntries(Object.entries(time).filter(([, value]) => typeof value === 'string'))
    : null
  return new UpstreamPackument({
    ...rest,
    name,
    versions,
    'dist-tags': tags,
    ...(times === null ? {} : { time: times }),
  } as Packument)
}

function isWellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text)
}

function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false
  return levels === 0 || Object.values(value).some((child) => isDeeperThan(child, levels - 1))
}

/** The strongest digest that was published; old versions have only the SHA-1. */
function digestOf(dist: JsonObject) {
  const integrity = typeof dist['integrity'] === 'string' ? parseIntegrity(dist['integrity']) : null
  if (integrity !== null) return integrity
  const { shasum } = dist
  return typeof shasum === 'string' && /^[0-9a-f]{40}$/i.test(shasum)
    ? ({ algorithm: 'sha1', hex: shasum.toLowerCase() } as const)
    : null
}

function tarballOf(manifest: JsonObject): string | null {
  const { dist } = manifest
  return isObject(dist) && typeof dist['tarball'] === 'string' ? dist['tarball'] : null
}

/** `@a/b` → `@a%2fb`: every npm registry knows this form. */
function encodeName(name: string): string {
  const encoded = encodeURIComponent(name).replace(/^%40/, '@')
  return name.startsWith('@') ? encoded.replace('%2F', '%2f') : encoded
}

function decodeSegment(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
