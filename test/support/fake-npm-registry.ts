import { buildNpmTarball, integrityOf, type NpmTarball } from './builders/npm-tarball.ts'
import { type Answer, FakeUpstream, type RecordedRequest, type Script } from './fake-upstream.ts'

const FIRST_PUBLICATION = Date.UTC(2020, 0, 1)
const DAY = 86_400_000

/** How the registry differs from a plain, honest, modern one; may be changed at any time. */
export interface NpmBehaviour {
  /** Documents carry `time`. */
  time: boolean
  /** Documents carry an ETag and answer 304. */
  etags: boolean
  /** Documents are gzip-encoded for those who accept it. */
  gzip: boolean
  /** Origin of the tarball URLs in documents, when it is not the registry's own. */
  tarballOrigin: string | null
  /** Path (and query) of the tarball of a version in documents, when it is not `/{name}/-/{basename}-{version}.tgz`. */
  tarballPath: ((name: string, version: string) => string) | null
}

export interface Publication {
  name: string
  version: string
  /** More of package.json: dependencies, bin, description … */
  manifest?: Record<string, unknown>
  files?: Record<string, string | Buffer>
  /** Bytes of incompressible filling, for large tarballs. */
  padding?: number
  /** Tag that moves to this version; `latest` unless told. */
  tag?: string
  /** ms; a day after the version before, unless told. */
  publishedAt?: number
  /** `'lying'`: integrity (and shasum) of other bytes; `'shasum'`: no integrity; `'none'`: neither. */
  digests?: 'honest' | 'lying' | 'shasum' | 'none'
}

interface Version {
  manifest: Record<string, unknown>
  tarball: NpmTarball
  publishedAt: number
  digests: NonNullable<Publication['digests']>
}

interface Package {
  tags: Record<string, string>
  versions: Map<string, Version>
}

/** An npm registry with real tarballs and packuments over a `FakeUpstream`, which scripts its failures. */
export class FakeNpmRegistry {
  readonly upstream: FakeUpstream
  readonly behaviour: NpmBehaviour
  /** What `/-/v1/search` answers. */
  searchAnswer: unknown = { objects: [], total: 0, time: new Date(FIRST_PUBLICATION).toISOString() }
  /** What the audit endpoints answer. */
  auditAnswer: unknown = {}
  /** The requests that reached search, oldest first. */
  readonly searches: RecordedRequest[] = []
  /** The requests that reached an audit endpoint, oldest first; bodies as sent (npm gzips them). */
  readonly audits: RecordedRequest[] = []
  #packages = new Map<string, Package>()

  private constructor(upstream: FakeUpstream, behaviour: Partial<NpmBehaviour>) {
    this.upstream = upstream
    this.behaviour = { time: true, etags: true, gzip: true, tarballOrigin: null, tarballPath: null, ...behaviour }
    upstream.on(
      '/-/v1/search',
      this.#record(this.searches, () => this.searchAnswer),
    )
    upstream.on(
      '/-/npm/v1/security/advisories/bulk',
      this.#record(this.audits, () => this.auditAnswer),
    )
    upstream.on(
      '/-/npm/v1/security/audits/quick',
      this.#record(this.audits, () => this.auditAnswer),
    )
  }

  static async start(behaviour: Partial<NpmBehaviour> = {}): Promise<FakeNpmRegistry> {
    return new FakeNpmRegistry(await FakeUpstream.start(), behaviour)
  }

  /** Registry URL, with the slash at its end. */
  get url(): string {
    return `${this.upstream.url}/`
  }

  /** Publishes a version: its tarball and document are served at once. Publishing it again replaces its bytes. */
  async publish(publication: Publication): Promise<NpmTarball> {
    const { name, version } = publication
    const manifest = { name, version, ...publication.manifest }
    const tarball = await buildNpmTarball(manifest, {
      ...(publication.files && { files: publication.files }),
      ...(publication.padding && { padding: publication.padding }),
    })
    const known = this.#packages.get(name) ?? { tags: {}, versions: new Map<string, Version>() }
    this.#packages.set(name, known)
    known.versions.set(version, {
      manifest,
      tarball,
      publishedAt: publication.publishedAt ?? FIRST_PUBLICATION + known.versions.size * DAY,
      digests: publication.digests ?? 'honest',
    })
    known.tags[publication.tag ?? 'latest'] = version
    known.tags['latest'] ??= version
    this.upstream.on(`/${name}`, () => this.#packumentAnswer(name))
    this.upstream.on(this.tarballPath(name, version), this.tarballAnswer(name, version))
    return tarball
  }

  /** Removes one version, or the whole package: its document and tarballs are gone. */
  unpublish(name: string, version?: string): void {
    const known = this.#package(name)
    for (const each of version === undefined ? [...known.versions.keys()] : [version]) {
      known.versions.delete(each)
      this.upstream.off(this.tarballPath(name, each))
    }
    for (const [tag, target] of Object.entries(known.tags)) if (!known.versions.has(target)) delete known.tags[tag]
    const last = [...known.versions.keys()].at(-1)
    if (last !== undefined) known.tags['latest'] ??= last
    else {
      this.#packages.delete(name)
      this.upstream.off(`/${name}`)
    }
  }

  deprecate(name: string, version: string, message: string): void {
    this.#version(name, version).manifest['deprecated'] = message
  }

  tag(name: string, tag: string, version: string): void {
    this.#package(name).tags[tag] = version
  }

  /** The path below the registry at which the tarball is served, without a query. */
  tarballPath(name: string, version: string): string {
    const path = this.behaviour.tarballPath?.(name, version) ?? standardPath(name, version)
    return path.split('?', 1)[0] ?? path
  }

  /** How a tarball is answered when nothing is wrong: spread it and add the harm (`{ ...good, cutAt: 100 }`). */
  tarballAnswer(name: string, version: string): Answer {
    return {
      headers: { 'content-type': 'application/octet-stream' },
      body: this.#version(name, version).tarball.bytes,
      ranges: true,
      ...(this.behaviour.etags && { etag: true as const }),
    }
  }

  /** The full document as served now. */
  packument(name: string): Record<string, unknown> {
    const { tags, versions } = this.#package(name)
    const times = [...versions].map(([version, v]) => [version, new Date(v.publishedAt).toISOString()])
    const moments = [...versions.values()].map((v) => v.publishedAt)
    return {
      _id: name,
      name,
      'dist-tags': { ...tags },
      versions: Object.fromEntries([...versions].map(([key, v]) => [key, this.#renderVersion(name, key, v)])),
      ...(this.behaviour.time && {
        time: {
          created: new Date(Math.min(...moments)).toISOString(),
          modified: new Date(Math.max(...moments)).toISOString(),
          ...Object.fromEntries(times),
        },
      }),
    }
  }

  async close(): Promise<void> {
    await this.upstream.close()
  }

  #renderVersion(name: string, key: string, version: Version): Record<string, unknown> {
    const path = this.behaviour.tarballPath?.(name, key) ?? standardPath(name, key)
    const dist: Record<string, string> = { tarball: `${this.behaviour.tarballOrigin ?? this.upstream.url}${path}` }
    const { digests, tarball } = version
    if (digests !== 'none') dist['shasum'] = digests === 'lying' ? '0'.repeat(40) : tarball.shasum
    if (digests === 'honest') dist['integrity'] = tarball.integrity
    if (digests === 'lying') dist['integrity'] = integrityOf(Buffer.from('other bytes'))
    return { ...version.manifest, _id: `${name}@${key}`, dist }
  }

  #packumentAnswer(name: string): Answer {
    return {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(this.packument(name)),
      ...(this.behaviour.etags && { etag: true as const }),
      ...(this.behaviour.gzip && { gzip: 'accepted' as const }),
    }
  }

  #record(into: RecordedRequest[], answer: () => unknown): Script {
    return (request) => {
      into.push(request)
      return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(answer()) }
    }
  }

  #package(name: string): Package {
    const known = this.#packages.get(name)
    if (!known) throw new Error(`the fake registry has no package ${name}`)
    return known
  }

  #version(name: string, version: string): Version {
    const known = this.#package(name).versions.get(version)
    if (!known) throw new Error(`the fake registry has no ${name}@${version}`)
    return known
  }
}

function standardPath(name: string, version: string): string {
  return `/${name}/-/${name.split('/').at(-1)}-${version}.tgz`
}
