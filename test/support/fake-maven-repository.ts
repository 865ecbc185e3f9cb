import { createHash } from 'node:crypto'
import { type Answer, FakeUpstream, type Script } from './fake-upstream.ts'

const ALGORITHMS = ['md5', 'sha1', 'sha256', 'sha512'] as const
type Algorithm = (typeof ALGORITHMS)[number]

/** How a file is put into the repository. */
export interface FileOptions {
  /**
   * `'sidecars'`: `.sha1` and `.md5` beside it, as every repository has them; `'all'`: `.sha256` and `.sha512` too;
   * `'headers'`: in the answer, as Central has them; `'none'`: nothing; `'wrong-…'`: those of other bytes.
   */
  checksums?: 'sidecars' | 'all' | 'headers' | 'none' | 'wrong-sidecars' | 'wrong-headers'
  /** More of the answer: status, cutAt … */
  answer?: Answer
}

/** What an artifact's `maven-metadata.xml` says. */
export interface MetadataOptions {
  /** `yyyyMMddHHmmss`. */
  lastUpdated?: string
  checksums?: FileOptions['checksums']
}

/** A Maven repository over a `FakeUpstream`, which scripts its failures. */
export class FakeMavenRepository {
  readonly upstream: FakeUpstream

  private constructor(upstream: FakeUpstream) {
    this.upstream = upstream
    upstream.fallback = { status: 404, headers: { 'content-type': 'text/html' }, body: '<html>404</html>' }
  }

  static async start(): Promise<FakeMavenRepository> {
    return new FakeMavenRepository(await FakeUpstream.start())
  }

  /** With the slash at its end. */
  get url(): string {
    return `${this.upstream.url}/maven2/`
  }

  /** Puts a file, and its checksums, below the repository; a file that is there is replaced. Returns its bytes. */
  add(path: string, content: Buffer | string, options: FileOptions = {}): Buffer {
    const bytes = Buffer.from(content)
    const how = options.checksums ?? 'sidecars'
    const summed = how.startsWith('wrong-') ? Buffer.from('other bytes') : bytes
    const isInHeaders = how.endsWith('headers')
    this.on(path, {
      ...this.answer(bytes),
      ...options.answer,
      headers: { ...(isInHeaders ? checksumHeaders(summed) : {}), ...options.answer?.headers },
    })
    for (const algorithm of ALGORITHMS) {
      const isThere = how === 'all' || (how.endsWith('sidecars') && (algorithm === 'sha1' || algorithm === 'md5'))
      if (isThere) this.on(`${path}.${algorithm}`, { body: hash(summed, algorithm) })
      else this.upstream.off(this.#full(`${path}.${algorithm}`))
    }
    return bytes
  }

  /** How bytes are answered when nothing is wrong: spread it and add the harm (`{ ...good, cutAt: 100 }`). */
  answer(bytes: Buffer): Answer {
    return { body: bytes, etag: true, lastModified: Date.UTC(2020, 0, 1), ranges: true }
  }

  /** Puts a POM. */
  addPom(name: string, version: string, more = ''): Buffer {
    const { group, artifact, folder } = split(name)
    return this.add(
      `${folder}/${version}/${artifact}-${version}.pom`,
      `<project><modelVersion>4.0.0</modelVersion><groupId>${group}</groupId><artifactId>${artifact}</artifactId>` +
        `<version>${version}</version>${more}</project>`,
    )
  }

  /** Puts the metadata of an artifact that has these versions. */
  addMetadata(name: string, versions: readonly string[], options: MetadataOptions = {}): Buffer {
    const { group, artifact, folder } = split(name)
    const list = versions.map((version) => `<version>${version}</version>`).join('')
    return this.add(
      `${folder}/maven-metadata.xml`,
      `<?xml version="1.0" encoding="UTF-8"?>\n<metadata><groupId>${group}</groupId><artifactId>${artifact}</artifactId>` +
        `<versioning><versions>${list}</versions>` +
        `<lastUpdated>${options.lastUpdated ?? '20200101000000'}</lastUpdated></versioning></metadata>\n`,
      { checksums: options.checksums ?? 'sidecars' },
    )
  }

  /** Puts the metadata of a snapshot whose newest build this is. */
  addSnapshotMetadata(name: string, version: string, build: { timestamp: string; buildNumber: number }): Buffer {
    const { group, artifact, folder } = split(name)
    const { timestamp, buildNumber } = build
    const updated = timestamp.replace('.', '')
    const value = `${version.slice(0, -'SNAPSHOT'.length)}${timestamp}-${buildNumber}`
    return this.add(
      `${folder}/${version}/maven-metadata.xml`,
      `<metadata modelVersion="1.1.0"><groupId>${group}</groupId><artifactId>${artifact}</artifactId>` +
        `<version>${version}</version><versioning><snapshot><timestamp>${timestamp}</timestamp>` +
        `<buildNumber>${buildNumber}</buildNumber></snapshot><lastUpdated>${updated}</lastUpdated><snapshotVersions>` +
        `<snapshotVersion><extension>jar</extension><value>${value}</value><updated>${updated}</updated>` +
        '</snapshotVersion></snapshotVersions></versioning></metadata>',
    )
  }

  /** Answers a path below the repository by the script from now on. */
  on(path: string, script: Script): void {
    this.upstream.on(this.#full(path), script)
  }

  /** Takes a file away, with its checksums. */
  remove(path: string): void {
    for (const ending of ['', ...ALGORITHMS.map((algorithm) => `.${algorithm}`)]) {
      this.upstream.off(this.#full(path + ending))
    }
  }

  /** How often a path below the repository was asked for. */
  count(path: string, method?: string): number {
    return this.upstream.count(this.#full(path), method)
  }

  async close(): Promise<void> {
    await this.upstream.close()
  }

  #full(path: string): string {
    return `/maven2/${path}`
  }
}

/** A checksum as it is published: lower-case hex. */
export function hash(bytes: Buffer, algorithm: Algorithm): string {
  return createHash(algorithm).update(bytes).digest('hex')
}

function checksumHeaders(bytes: Buffer): Record<string, string> {
  return { 'x-checksum-sha1': hash(bytes, 'sha1'), 'x-checksum-md5': hash(bytes, 'md5') }
}

function split(name: string): { group: string; artifact: string; folder: string } {
  const [group = '', artifact = ''] = name.split(':')
  return { group, artifact, folder: `${group.replaceAll('.', '/')}/${artifact}` }
}
