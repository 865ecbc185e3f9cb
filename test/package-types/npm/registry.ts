import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { buildPublication, type Publication, type PublicationInput } from '../../support/builders/npm.ts'
import type { TestApp } from '../../support/test-app.ts'

type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
type Options = { authorization?: string | null; headers?: Record<string, string>; payload?: InjectOptions['payload'] }

/** The npm registry of one owner on a test server, asked as somebody. */
export class Registry {
  readonly #server: TestApp
  readonly #authorization: string | null
  /** Path of the registry. */
  readonly path: string

  constructor(server: TestApp, owner: string, authorization: string | null) {
    this.#server = server
    this.#authorization = authorization
    this.path = `/api/packages/${owner}/npm`
  }

  /** The same registry, asked by somebody else; null: anonymously. */
  as(authorization: string | null): Registry {
    return new Registry(this.#server, this.path.split('/')[3]!, authorization)
  }

  request(method: Method, path: string, options: Options = {}): Promise<LightMyRequestResponse> {
    const authorization = options.authorization === undefined ? this.#authorization : options.authorization
    return this.#server.inject({
      method,
      url: `${this.path}${path}`,
      headers: { ...(authorization === null ? {} : { authorization }), ...options.headers },
      ...(options.payload === undefined ? {} : { payload: options.payload }),
    })
  }

  get(path: string, headers: Record<string, string> = {}): Promise<LightMyRequestResponse> {
    return this.request('GET', path, { headers })
  }

  /** The body goes as JSON, a string as it is. */
  put(path: string, body?: object | string): Promise<LightMyRequestResponse> {
    if (body === undefined) return this.request('PUT', path)
    const payload = typeof body === 'string' ? body : JSON.stringify(body)
    return this.request('PUT', path, { headers: { 'content-type': 'application/json' }, payload })
  }

  delete(path: string): Promise<LightMyRequestResponse> {
    return this.request('DELETE', path)
  }

  post(path: string, body: object): Promise<LightMyRequestResponse> {
    return this.request('POST', path, {
      headers: { 'content-type': 'application/json' },
      payload: JSON.stringify(body),
    })
  }

  /** PUTs a publish document, changed by `change` before. */
  async publish(
    input: PublicationInput,
    change: (publication: Publication) => void = () => {},
  ): Promise<LightMyRequestResponse> {
    const publication = await buildPublication(input)
    change(publication)
    return this.put(`/${input.name.replace('/', '%2f')}`, publication)
  }
}
