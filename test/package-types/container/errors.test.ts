import Fastify, { type FastifyInstance, type LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import * as errors from '../../../src/errors.ts'
import { createErrorHandler } from '../../../src/http/error-handler.ts'
import { renderError } from '../../../src/package-types/container/errors.ts'
import { TestApp } from '../../support/test-app.ts'
import { bearer, readChallenge, readError, request } from './token-client.ts'

const { Invalid, NotFound, TooLarge, UpstreamUnavailable } = errors

describe('errors have the codes of the distribution-spec (container.md §2)', () => {
  const rows: [error: Error, status: number, code: string][] = [
    [new NotFound('manifest', 'v1'), 404, 'MANIFEST_UNKNOWN'],
    [new NotFound('blob'), 404, 'BLOB_UNKNOWN'],
    [new NotFound('file'), 404, 'BLOB_UNKNOWN'],
    [new NotFound('upload'), 404, 'BLOB_UPLOAD_UNKNOWN'],
    [new NotFound('package'), 404, 'NAME_UNKNOWN'],
    [new NotFound('owner'), 404, 'NAME_UNKNOWN'],
    [new NotFound('route'), 404, 'NAME_UNKNOWN'],
    [new NotFound('upstream'), 404, 'NAME_UNKNOWN'],
    [new NotFound('manifest-blob'), 404, 'MANIFEST_BLOB_UNKNOWN'],
    [new NotFound('team' as never), 404, 'UNKNOWN'],
    [new Invalid('no', 'name'), 400, 'NAME_INVALID'],
    [new Invalid('no', 'digest'), 400, 'DIGEST_INVALID'],
    [new Invalid('no', 'manifest'), 400, 'MANIFEST_INVALID'],
    [new Invalid('no', 'tag'), 400, 'MANIFEST_INVALID'],
    [new Invalid('no', 'size'), 400, 'SIZE_INVALID'],
    [new Invalid('no', 'upload'), 400, 'BLOB_UPLOAD_INVALID'],
    [new Invalid('no', 'body'), 400, 'BLOB_UPLOAD_INVALID'],
    [new Invalid('no', 'paging'), 400, 'PAGINATION_NUMBER_INVALID'],
    [new Invalid('no'), 400, 'UNKNOWN'],
    [new errors.DigestMismatch('no'), 400, 'DIGEST_INVALID'],
    [new errors.RangeNotSatisfiable('no', 'upload'), 416, 'BLOB_UPLOAD_INVALID'],
    [new TooLarge('no', 'manifest'), 413, 'MANIFEST_INVALID'],
    [new TooLarge('no', 'body'), 413, 'SIZE_INVALID'],
    [new errors.MethodNotAllowed('no'), 405, 'UNSUPPORTED'],
    [new errors.QuotaExceeded('no'), 403, 'DENIED'],
    [new errors.Forbidden('no', 'access'), 403, 'DENIED'],
    [new errors.Blocked('no'), 403, 'DENIED'],
    [new errors.LegallyUnavailable('no'), 451, 'DENIED'],
    [new errors.Overloaded('no'), 503, 'UNAVAILABLE'],
    [new UpstreamUnavailable('no'), 502, 'UNAVAILABLE'],
    [new UpstreamUnavailable('no', { status: 504 }), 504, 'UNAVAILABLE'],
    [new UpstreamUnavailable('no', { status: 503, detail: 'RATE_LIMITED' }), 429, 'TOOMANYREQUESTS'],
    [new errors.Conflict('version', 'no'), 409, 'DENIED'],
    [new errors.InsufficientStorage('no'), 507, 'UNKNOWN'],
    [new Error('secret'), 500, 'UNKNOWN'],
  ]
  let app: FastifyInstance

  beforeAll(() => {
    app = Fastify()
    app.decorateRequest('target', null)
    app.decorateRequest('doer', { getter: () => ({ user: { id: 1 } }) as never })
    app.setErrorHandler(createErrorHandler(renderError))
    app.route({
      method: ['GET', 'HEAD'],
      url: '/:index',
      handler: async (incoming) => {
        throw rows[Number((incoming.params as { index: string }).index)]![0]
      },
    })
  })
  afterAll(() => app.close())

  test.each(rows.map(([error, ...expected], index) => [error.constructor.name, ...expected, index] as const))(
    '%s is %d %s',
    async (_name, status, code, index) => {
      const response = await app.inject({ method: 'GET', url: `/${index}` })
      expect(readError(response)).toMatchObject({ status, code })
      expect(response.body).not.toContain('secret')
      expect(response.headers['cache-control']).toBe('no-store')
      const head = await app.inject({ method: 'HEAD', url: `/${index}` })
      expect([head.statusCode, head.body]).toEqual([status, ''])
    },
  )

  test('who asks too often is told when to come back, as the upstream said or after a minute', async () => {
    const waits: (string | undefined)[] = []
    for (const retryAfter of [7, undefined]) {
      rows.push([new UpstreamUnavailable('no', { status: 503, detail: 'RATE_LIMITED', retryAfter }), 429, ''])
      const response = await app.inject(`/${rows.length - 1}`)
      waits.push(response.headers['retry-after'] as string)
    }
    expect(waits).toEqual(['7', '60'])
  })
})

describe('what a caller may not know of', () => {
  let app: TestApp
  let ann: string
  let bob: string
  const requests = [
    ['GET', 'app/manifests/latest'],
    ['HEAD', 'app/manifests/latest'],
    ['GET', `app/blobs/sha256:${'0'.repeat(64)}`],
    ['GET', 'app/tags/list'],
    ['GET', `app/referrers/sha256:${'0'.repeat(64)}`],
    ['POST', 'app/blobs/uploads/'],
    ['POST', 'app/blobs/uploads/?mount=x&from=other/app'],
    ['PATCH', 'app/blobs/uploads/1'],
    ['PUT', 'app/manifests/latest'],
    ['DELETE', 'app/manifests/latest'],
    ['DELETE', 'app/blobs/uploads/1'],
  ] as const

  beforeAll(async () => {
    app = await TestApp.start()
    ann = await app.createUser('ann')
    bob = await app.createUser('bob')
    await app.createOrganization('acme', ann)
    await app.createOrganization('hidden', ann, 'private')
  })
  afterAll(() => app.close())

  /** Everything a client sees, without the owner's name and what differs from one second to the next. */
  const seen = (response: LightMyRequestResponse, owner: string) => {
    const { date: _date, ...headers } = response.headers
    return JSON.stringify([response.statusCode, headers, response.body]).replaceAll(owner, '…')
  }

  const compare = async (authorization: string | null, expected: number, owners: [string, string]) => {
    for (const [method, path] of requests) {
      const [one, other] = await Promise.all(
        owners.map(async (owner) => seen(await request(app, method, `/v2/${owner}/${path}`, authorization), owner)),
      )
      expect(one, `${method} ${path}`).toBe(other)
      expect(JSON.parse(one!)[0], `${method} ${path}`).toBe(expected)
    }
  }

  test('is the same as what does not exist, for nobody: 401', async () => {
    await compare(null, 401, ['hidden', 'nobody'])
    await compare(await bearer(app, null, 'repository:acme/app:pull'), 401, ['hidden', 'nobody'])
    await app.api('PATCH', '/admin/users/bob', { login_name: 'bob', visibility: 'limited' })
    await compare(null, 401, ['bob', 'eve'])
  })

  test('is the same as what does not exist, for whoever is signed in: 404', async () => {
    await compare(bob, 404, ['hidden', 'nobody'])
    const scopes = ['hidden/app', 'nobody/app', 'acme/app'].map((name) => `repository:${name}:pull,push,delete`)
    await compare(await bearer(app, bob, scopes), 404, ['hidden', 'nobody'])
    for (const list of [
      ['public-only', 'all'],
      ['write:user', 'public-only'],
    ]) {
      const secret = await app.createToken('ann', list, ann)
      await compare(`Bearer ${secret}`, 404, ['hidden', 'nobody'])
    }
    const secret = await app.createToken('bob', ['write:user'], bob)
    await compare(`Bearer ${secret}`, 404, ['hidden', 'nobody'])
  })

  test('differs from what he may know of and not use: 403', async () => {
    for (const [method, path] of requests.slice(5)) {
      const response = await request(app, method, `/v2/acme/${path}`, bob)
      expect(readError(response)).toMatchObject({ status: 403, code: 'DENIED' })
      expect(response.headers['www-authenticate']).toBe(undefined)
    }
  })
})

describe('the challenge of a 401', () => {
  let app: TestApp
  beforeAll(async () => {
    app = await TestApp.start({ environment: { ENTREPOT_BASE_URL: 'https://packages.example.org/' } })
  })
  afterAll(() => app.close())

  const scopeOf = async (method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string) =>
    readChallenge(await request(app, method, `/v2/${path}`)).parameters['scope']

  test('says where, for what server and for what', async () => {
    const response = await request(app, 'GET', '/v2/no/app/tags/list')
    expect(response.headers['www-authenticate']).toBe(
      'Bearer realm="https://packages.example.org/v2/token",service="packages.example.org",scope="repository:no/app:pull"',
    )
  })

  test('asks for what the method needs', async () => {
    const path = 'no/app/manifests/latest'
    expect(await scopeOf('HEAD', path)).toBe('repository:no/app:pull')
    expect(await scopeOf('PUT', path)).toBe('repository:no/app:pull,push')
    expect(await scopeOf('DELETE', path)).toBe('repository:no/app:delete')
    expect(await scopeOf('PATCH', 'no/app/blobs/uploads/1')).toBe('repository:no/app:pull,push')
    expect(await scopeOf('DELETE', 'no/app/blobs/uploads/1')).toBe('repository:no/app:pull,push')
  })

  test('of a mount lists both repositories', async () => {
    const mount = (from: string) => scopeOf('POST', `no/app/blobs/uploads/?mount=sha256:0&from=${from}`)
    expect(await mount('other%2Fbase')).toBe('repository:no/app:pull,push repository:other/base:pull')
    for (const from of ['', 'a"b', 'UPPER/x', 'a/b%20repository:c/d:push', '&from=b']) {
      expect(await mount(from)).toBe('repository:no/app:pull,push')
    }
  })

  test('cannot be written into from outside', async () => {
    const response = await request(app, 'GET', '/mirror/a%22,b=%22/v2/x/y/tags/list')
    expect(readChallenge(response).parameters).toMatchObject({ service: 'packages.example.org' })
    const long = await request(app, 'GET', `/mirror/${'a'.repeat(200)}/v2/x/y/tags/list`)
    expect(readChallenge(long).parameters).toMatchObject({ service: 'packages.example.org' })
    const bad = await request(app, 'GET', '/v2/A%22/b/tags/list', 'Bearer a.b.c')
    expect(readChallenge(bad).parameters).not.toHaveProperty('scope')
  })
})
