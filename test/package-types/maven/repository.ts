import { createHash } from 'node:crypto'
import type { LightMyRequestResponse } from 'fastify'
import type { Algorithm } from '../../../src/storage/digest.ts'
import type { TestApp } from '../../support/test-app.ts'

/** A client of the Maven repository of one owner. Paths are below its root, without a leading slash. */
export class Repository {
  readonly #server: TestApp
  readonly #owner: string
  readonly #authorization: string | null

  constructor(server: TestApp, owner: string, authorization: string | null) {
    this.#server = server
    this.#owner = owner
    this.#authorization = authorization
  }

  /** The same repository for somebody else; null: without credentials. */
  as(authorization: string | null): Repository {
    return new Repository(this.#server, this.#owner, authorization)
  }

  url(path: string): string {
    return `/api/packages/${this.#owner}/maven/${path}`
  }

  request(
    method: 'GET' | 'HEAD' | 'PUT' | 'DELETE' | 'POST' | 'OPTIONS',
    path: string,
    options: { headers?: Record<string, string>; payload?: Buffer } = {},
  ): Promise<LightMyRequestResponse> {
    const authorization = this.#authorization
    return this.#server.inject({
      method,
      url: this.url(path),
      headers: { ...(authorization === null ? {} : { authorization }), ...options.headers },
      ...(options.payload === undefined ? {} : { payload: options.payload }),
    })
  }

  get(path: string, headers: Record<string, string> = {}): Promise<LightMyRequestResponse> {
    return this.request('GET', path, { headers })
  }

  head(path: string, headers: Record<string, string> = {}): Promise<LightMyRequestResponse> {
    return this.request('HEAD', path, { headers })
  }

  put(path: string, body: string | Buffer): Promise<LightMyRequestResponse> {
    return this.request('PUT', path, { payload: Buffer.from(body) })
  }

  /** The status of a PUT. */
  async send(path: string, body: string | Buffer): Promise<number> {
    return (await this.put(path, body)).statusCode
  }

  /** The body of a GET that is answered 200, else its status. */
  async read(path: string): Promise<string | number> {
    const response = await this.get(path)
    return response.statusCode === 200 ? response.body : response.statusCode
  }
}

/** Lower-case hex. */
export function checksum(algorithm: Algorithm, body: string | Buffer): string {
  return createHash(algorithm).update(body).digest('hex')
}

/** A small POM; `rest` is put into it. */
export function pom(group: string, artifact: string, version: string, rest = ''): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>${group}</groupId>
  <artifactId>${artifact}</artifactId>
  <version>${version}</version>${rest}
</project>
`
}

/** What mvn sends for a build of a snapshot. */
export function snapshotMetadata(build: { timestamp: string; buildNumber: number }): string {
  return `<?xml version="1.0" encoding="UTF-8"?>
<metadata modelVersion="1.1.0"><groupId>com.acme</groupId><artifactId>tool</artifactId><versioning>
<snapshot><timestamp>${build.timestamp}</timestamp><buildNumber>${build.buildNumber}</buildNumber></snapshot>
</versioning></metadata>
`
}
