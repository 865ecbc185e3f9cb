import { Validator } from '@seriousme/openapi-schema-validator'
import Fastify from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { api } from '../../src/api/index.ts'
import { TestApp } from '../support/test-app.ts'

interface Operation {
  operationId: string
  summary?: string
  tags?: string[]
  parameters?: { name: string; in: string }[]
  security: Record<string, string[]>[]
  responses: Record<string, { $ref?: string; content?: object; headers?: object }>
  requestBody?: { required: boolean }
}
interface Description {
  openapi: string
  info: { version: string }
  servers: { url: string }[]
  paths: Record<string, Record<string, Operation>>
  components: Record<'schemas' | 'securitySchemes' | 'responses', Record<string, object>>
}

describe('the description of the REST API', () => {
  let app: TestApp
  let description: Description
  const operation = (method: string, path: string) => description.paths[path]![method]!
  const operations = () =>
    Object.entries(description.paths).flatMap(([path, methods]) =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
    )

  beforeAll(async () => {
    app = await TestApp.start()
    description = (await app.inject({ url: '/swagger.v1.json' })).json() as Description
  })
  afterAll(() => app.close())

  test('is as it was', async () => {
    const { info, servers, ...rest } = description
    expect(info.version).toBe('0.0.0-test')
    expect(servers).toEqual([{ url: `${app.services.config.baseUrl}/api/v1` }])
    await expect(`${format(rest)}\n`).toMatchFileSnapshot('__snapshots__/openapi.json')
  })

  test('is valid OpenAPI 3.1', async () => {
    const validator = new Validator()
    const { valid, errors } = await validator.validate(
      structuredClone(description) as object as Record<string, unknown>,
    )
    expect(errors).toBeUndefined()
    expect(valid).toBe(true)
    expect(validator.version).toBe('3.1')
    expect((await validator.validate({ ...description, paths: { '/x': { get: { responses: 1 } } } })).valid).toBe(false)
    expect(danglingReferences(description)).toEqual([])
  })

  test('has every route and no other', async () => {
    const routes: string[] = []
    const other = Fastify()
    other.decorate('services', app.services)
    other.addHook('onRoute', ({ method, url }) => {
      if (method !== 'HEAD') routes.push(`${String(method)} ${url.replace(/:(\w+)/g, '{$1}')}`)
    })
    await other.register(api)
    await other.ready()
    expect(
      operations()
        .map(({ method, path }) => `${method.toUpperCase()} ${path}`)
        .sort(),
    ).toEqual(routes.sort())
  })

  test('says of every operation what it is, under a name of its own', () => {
    for (const { path, method, summary, tags, parameters = [] } of operations()) {
      expect([path, method, summary, tags]).toEqual([path, method, expect.any(String), [expect.any(String)]])
      const named = parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => `{${name}}`)
      expect([path, named.sort()]).toEqual([path, (path.match(/\{\w+\}/g) ?? []).sort()])
    }
    const names = operations().map(({ operationId }) => operationId)
    expect(new Set(names).size).toBe(names.length)
    expect(names).toContain('getOrgsByOrgTeamsSearch')
  })

  test('says who may, with which scopes, and which errors follow', () => {
    const referred = (responses: Operation['responses']) =>
      Object.fromEntries(Object.entries(responses).map(([status, { $ref }]) => [status, $ref?.split('/').pop()]))
    const scopes = ['write:organization']
    expect(operation('patch', '/orgs/{org}')).toMatchObject({
      description: 'For owners of the organization and site administrators. Tokens need `write:organization`.',
      security: [{ BasicAuth: scopes }, { AuthorizationHeaderToken: scopes }, { BearerToken: scopes }],
      requestBody: { required: true },
    })
    expect(referred(operation('patch', '/orgs/{org}').responses)).toEqual({
      ...{ 200: undefined, 401: 'Error401', 403: 'Error403', 404: 'Error404', 422: 'Error422', default: 'Error' },
    })
    expect(referred(operation('get', '/user').responses)).toEqual({
      ...{ 200: undefined, 401: 'Error401', 403: 'Error403', default: 'Error' },
    })
    expect(operation('get', '/orgs').security[0]).toEqual({})
    expect(operation('post', '/users/{username}/tokens').security).toEqual([{ BasicAuth: ['write:user'] }])
    expect(operation('delete', '/packages/{owner}/{type}/{name}').security[0]).toEqual({ BasicAuth: ['write:package'] })
    expect(Object.keys(operation('post', '/admin/upstreams').responses)).toEqual([
      '201',
      '401',
      '403',
      '422',
      'default',
    ])
    expect(operation('post', '/admin/upstreams/{upstream}/purge').requestBody).toMatchObject({ required: false })
    expect(Object.keys(operation('delete', '/orgs/{org}').responses)).toContain('204')
    expect(operation('get', '/orgs').responses['200']!.headers).toHaveProperty('X-Total-Count')
    expect(operation('get', '/user').responses['200']!.headers).toBeUndefined()
  })

  test('tells those who are signed in only, where all must be', async () => {
    const closed = await TestApp.start({ environment: { ENTREPOT_AUTH_REQUIRE_SIGN_IN: 'true' } })
    try {
      for (const url of ['/swagger.v1.json', '/api/swagger', '/api/swagger/start.js']) {
        const refused = await closed.inject({ url })
        expect([url, refused.statusCode, refused.headers['www-authenticate']]).toEqual([
          url,
          401,
          'Basic realm="Entrepot"',
        ])
        const answer = await closed.inject({ url, headers: { authorization: closed.admin } })
        expect([url, answer.statusCode, answer.headers['cache-control']]).toEqual([url, 200, 'private, no-cache'])
      }
      const { paths } = (
        await closed.inject({ url: '/swagger.v1.json', headers: { authorization: closed.admin } })
      ).json() as Description
      expect(paths['/orgs']!['get']!.security[0]).toHaveProperty('BasicAuth')
      expect(paths['/version']!['get']!.security[0]).toEqual({})
    } finally {
      await closed.close()
    }
  })
})

describe('the page that shows it', () => {
  let app: TestApp
  beforeAll(async () => {
    app = await TestApp.start({ environment: { ENTREPOT_BASE_URL: 'https://packages.example.org/deep/' } })
  })
  afterAll(() => app.close())

  test('S44: takes files of this server alone, and runs none but these', async () => {
    const { body, headers } = await app.inject({ url: '/api/swagger' })
    expect(headers['content-type']).toBe('text/html; charset=utf-8')
    expect(body).not.toMatch(/<script(?! src="\/deep\/api\/swagger\/)|<style|\sstyle=|\son\w+=|https?:/)
    const files = [...body.matchAll(/(?:src|href)="\/deep(\/[^"]+)"/g)].map(([, url]) => url!)
    expect(files).toEqual(expect.arrayContaining(['/swagger.v1.json', '/api/swagger/start.js']))
    for (const url of ['/api/swagger', '/api/swagger/', ...files]) {
      const answer = await app.inject({ url })
      expect([url, answer.statusCode]).toEqual([url, 200])
      expect(answer.headers).toMatchObject({ 'x-content-type-options': 'nosniff', 'cache-control': 'no-cache' })
      const policy = answer.headers['content-security-policy'] as string
      expect(policy).toMatch(/^default-src 'none'; script-src 'self'; style-src 'self';/)
      expect(policy).not.toMatch(/unsafe|https?:/)
      const again = await app.inject({ url, headers: { 'if-none-match': answer.headers['etag'] as string } })
      expect([url, again.statusCode]).toEqual([url, 304])
    }
    expect((await app.inject({ url: '/api/swagger/start.js' })).body).toContain('"url":"/deep/swagger.v1.json"')
    expect((await app.inject({ url: '/api/swagger/package.json' })).statusCode).toBe(404)
  })

  test('is where errors say', async () => {
    const { url } = (await app.api('GET', '/user', undefined, null)).json() as { url: string }
    expect(url).toBe('https://packages.example.org/deep/api/swagger')
  })
})

/** JSON with what is short on one line; keys are sorted, so that a change of their order alone is none. */
function format(value: unknown, indent = ''): string {
  const sorted = sortKeys(value)
  const line = JSON.stringify(sorted)
  if (typeof sorted !== 'object' || sorted === null || indent.length + line.length <= 118) return line
  const inner = `${indent}  `
  const [open, close] = Array.isArray(sorted) ? '[]' : '{}'
  const parts = Object.entries(sorted).map(([key, child]) => {
    const name = Array.isArray(sorted) ? '' : `${JSON.stringify(key)}: `
    return `${inner}${name}${format(child, inner)}`
  })
  return `${open}\n${parts.join(',\n')}\n${indent}${close}`
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, child]) => [key, sortKeys(child)]))
}

function danglingReferences(description: Description): string[] {
  const references = [...JSON.stringify(description).matchAll(/"\$ref":"([^"]+)"/g)].map(([, reference]) => reference!)
  return references.filter((reference) => {
    const steps = reference.split('/').slice(1)
    return (
      steps.reduce<unknown>((value, step) => (value as Record<string, unknown> | undefined)?.[step], description) ===
      undefined
    )
  })
}
