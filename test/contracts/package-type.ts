import type { InjectOptions } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'

/** What the suite needs to know of a type: how one package is published, and where what was published is. */
export interface PackageTypeFixture {
  /** The type's name. */
  type: string
  /** A request that publishes the same small package each time, without credentials. */
  publish(owner: string): Promise<InjectOptions>
  /** Path of the published file, below the server's root. */
  file(owner: string): string
  /** Path of the document that lists it; null where the type has none. */
  document(owner: string): string | null
  /** Whether the body of an error has the ecosystem's form. */
  isError(body: string): boolean
  /** What a client without credentials is told; the scheme Basic unless told. */
  challenge?: RegExp
  /** Where the ecosystem wants other statuses than Gitea's package routes. */
  statuses?: Partial<typeof giteaStatuses>
}

const giteaStatuses = {
  /** An owner that does not exist, for somebody without credentials. */
  unknownOwner: 404,
  /** Somebody signed in who may not read the owner. */
  unreadable: 401,
  /** Somebody signed in who may not do this, or whose token may not. */
  refused: 401,
  /** A token for public owners, used on another. */
  publicOnly: 403,
  /** The same thing published again. */
  republished: 409,
}

/** What holds for every package type: rights, statuses, forms of errors, quotas, HEAD, 304. */
export function describePackageType(fixture: PackageTypeFixture): void {
  const statuses = { ...giteaStatuses, ...fixture.statuses }
  const challenge = fixture.challenge ?? /^Basic realm=/

  describe(`package type ${fixture.type}`, () => {
    let server: TestApp
    let owner: string
    let stranger: string
    const limit = `ENTREPOT_PACKAGES_LIMITS_${fixture.type.toUpperCase()}`

    beforeAll(async () => {
      server = await TestApp.start()
      owner = await server.createUser('alice')
      stranger = await server.createUser('bob')
      await server.createOrganization('acme', owner)
      await server.createOrganization('hidden', owner, 'private')
      await server.createOrganization('insiders', owner, 'limited')
      for (const org of ['acme', 'hidden', 'insiders']) {
        expect((await send(await fixture.publish(org), owner)).statusCode).toBe(201)
      }
    })
    afterAll(() => server.close())

    const send = (options: InjectOptions, authorization?: string) =>
      server.inject({ ...options, headers: { ...options.headers, ...(authorization && { authorization }) } })
    const get = (url: string, authorization?: string, headers: Record<string, string> = {}) =>
      send({ method: 'GET', url, headers }, authorization)
    const reads = (org: string) => [fixture.file(org), fixture.document(org)].filter((path) => path !== null)

    test('an unknown owner is refused in the ecosystem’s form', async () => {
      const response = await get(fixture.file('nobody'))
      expect(response.statusCode).toBe(statuses.unknownOwner)
      expect(fixture.isError(response.body)).toBe(true)
    })

    test('everybody reads a public owner', async () => {
      for (const path of reads('acme')) expect((await get(path)).statusCode).toBe(200)
    })

    test('a limited owner is read by whoever is signed in, a private one by its members (security.md S1)', async () => {
      for (const path of reads('insiders')) {
        expect((await get(path)).statusCode).toBe(401)
        expect((await get(path, stranger)).statusCode).toBe(200)
      }
      for (const path of reads('hidden')) {
        expect((await get(path)).statusCode).toBe(401)
        expect((await get(path, stranger)).statusCode).toBe(statuses.unreadable)
        const own = await get(path, owner)
        expect(own.statusCode).toBe(200)
        expect(own.headers['cache-control']).toMatch(/^private/)
        expect(own.headers['vary']).toMatch(/Authorization/)
      }
    })

    test('nobody without the right publishes, and a challenge says how to sign in', async () => {
      const request = await fixture.publish('acme')
      for (const authorization of [undefined, stranger]) {
        const response = await send(request, authorization)
        expect(response.statusCode).toBe(authorization === undefined ? 401 : statuses.refused)
        if (response.statusCode === 401) expect(response.headers['www-authenticate']).toMatch(challenge)
        expect(fixture.isError(response.body)).toBe(true)
      }
    })

    test('a token does what its scopes say, in every carrier (security.md S8, S9)', async () => {
      const reader = await server.createToken('alice', ['read:package'], owner)
      const other = await server.createToken('alice', ['write:user'], owner)
      const publicOnly = await server.createToken('alice', ['write:package', 'public-only'], owner)
      const request = await fixture.publish('acme')
      const carriers = (token: string) => [
        `Bearer ${token}`,
        `token ${token}`,
        `Basic ${Buffer.from(`alice:${token}`).toString('base64')}`,
        `Basic ${Buffer.from(`${token}:`).toString('base64')}`,
        `Basic ${Buffer.from(`${token}:x-oauth-basic`).toString('base64')}`,
      ]
      for (const carrier of carriers(reader)) {
        expect((await get(fixture.file('hidden'), carrier)).statusCode).toBe(200)
        expect((await send(request, carrier)).statusCode).toBe(statuses.refused)
      }
      for (const carrier of carriers(other)) {
        expect((await get(fixture.file('acme'), carrier)).statusCode).toBe(statuses.refused)
      }
      for (const carrier of carriers(publicOnly)) {
        for (const org of ['hidden', 'insiders']) {
          expect((await get(fixture.file(org), carrier)).statusCode).toBe(statuses.publicOnly)
        }
        expect((await get(fixture.file('acme'), carrier)).statusCode).toBe(200)
      }
    })

    test('a restricted token reaches what it names and nothing else, in every carrier (security.md S8, S9)', async () => {
      const [{ name }] = (await server.api('GET', '/packages/acme', undefined, owner)).json() as [{ name: string }]
      const { type } = fixture
      const rule = (more: object) => ({ packages: [{ owner: 'acme', type, name, ...more }] })
      const cases: [restrictions: object, expected: boolean][] = [
        [{ owners: ['ACME'] }, true],
        [{ owners: ['hidden', 'acme'] }, true],
        [{ owners: ['hidden'] }, false],
        [{ types: [type] }, true],
        [{ types: ['other'] }, false],
        [{ owners: ['acme'], types: ['other'] }, false],
        [{ owners: ['hidden'], types: [type] }, false],
        [rule({}), true],
        [rule({ name: name.toUpperCase() }), true],
        [rule({ name: `${name.slice(0, -1)}*` }), true],
        [rule({ name: '*' }), true],
        [rule({ name: `${name}-*` }), false],
        [rule({ name: `${name}x` }), false],
        [rule({ owner: 'hidden' }), false],
        [rule({ type: 'other' }), false],
        [{ ...rule({}), owners: ['hidden'] }, false],
        [{ ...rule({}), types: ['other'] }, false],
      ]
      const request = await fixture.publish('acme')
      for (const [index, [restrictions, expected]] of cases.entries()) {
        const body = { name: `restricted ${index}`, scopes: ['write:package'], restrictions }
        const made = await server.api('POST', '/users/alice/tokens', body, owner)
        expect(made.statusCode, made.body).toBe(201)
        const { sha1: token } = made.json() as { sha1: string }
        for (const carrier of [`Bearer ${token}`, `Basic ${Buffer.from(`alice:${token}`).toString('base64')}`]) {
          for (const path of reads('acme')) {
            const response = await get(path, carrier)
            expect(response.statusCode, JSON.stringify(restrictions)).toBe(expected ? 200 : 403)
            if (!expected) expect(fixture.isError(response.body)).toBe(true)
          }
          const published = await send(request, carrier)
          expect(published.statusCode, JSON.stringify(restrictions)).toBe(expected ? statuses.republished : 403)
        }
      }
    })

    test('unusable credentials are refused even where none are needed', async () => {
      for (const authorization of [
        'Bearer nonsense',
        `Basic ${Buffer.from('alice:wrong').toString('base64')}`,
        'Digest x',
      ]) {
        const response = await get(fixture.file('acme'), authorization)
        expect(response.statusCode).toBe(401)
        expect(fixture.isError(response.body)).toBe(true)
      }
    })

    test('publishing again is what the ecosystem makes of it', async () => {
      const first = await fixture.publish('acme')
      server.clock.advance(3_600_000)
      const response = await send(first, owner)
      expect(response.statusCode).toBe(statuses.republished)
      if (response.statusCode >= 400) expect(fixture.isError(response.body)).toBe(true)
    })

    test('HEAD tells what GET would, and If-None-Match saves the body', async () => {
      for (const path of reads('acme')) {
        const full = await get(path)
        const head = await send({ method: 'HEAD', url: path })
        expect(head.statusCode).toBe(200)
        expect(head.body).toBe('')
        for (const name of ['etag', 'content-length', 'content-type', 'cache-control', 'last-modified']) {
          expect(head.headers[name], name).toBe(full.headers[name])
        }
        const etag = String(full.headers['etag'])
        expect(etag).toMatch(/^"[^"]+"$/)
        for (const validator of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
          const unchanged = await get(path, undefined, { 'if-none-match': validator })
          expect(unchanged.statusCode).toBe(304)
          expect(unchanged.headers['etag']).toBe(etag)
          expect(unchanged.body).toBe('')
        }
        expect(full.headers['x-content-type-options']).toBe('nosniff')
      }
    })

    test('warm reads run no SQL', async () => {
      const restrictions = { owners: ['acme', 'hidden'] }
      const body = { name: 'warm', scopes: ['read:package'], restrictions, expires_at: '2099-01-01T00:00:00Z' }
      const { sha1 } = (await server.api('POST', '/users/alice/tokens', body, owner)).json() as { sha1: string }
      const token = `Bearer ${sha1}`
      const paths = [...reads('acme'), ...reads('hidden')]
      for (const path of paths) await get(path, token)
      await server.quiet()
      const { queries } = server.services.db
      for (const path of paths) {
        const response = await get(path, token)
        expect(response.statusCode).toBe(200)
        expect((await send({ method: 'HEAD', url: path }, token)).statusCode).toBe(200)
        expect((await get(path, token, { 'if-none-match': String(response.headers['etag']) })).statusCode).toBe(304)
      }
      expect(server.services.db.queries).toBe(queries)
    })

    test('a quota that is exceeded is 403 with its name, and nothing is left', async () => {
      const cases = [
        [{ [limit]: '10' }, 'maximum allowed package type size exceeded'],
        [{ ENTREPOT_PACKAGES_LIMIT_TOTAL_OWNER_SIZE: '10' }, 'maximum allowed package storage quota exceeded'],
        [{ ENTREPOT_PACKAGES_LIMIT_TOTAL_OWNER_COUNT: '0' }, 'maximum allowed package count exceeded'],
      ] as const
      for (const [environment, message] of cases) {
        const limited = await TestApp.start({ environment })
        try {
          const carol = await limited.createUser('carol')
          const request = await fixture.publish('carol')
          const response = await limited.inject({ ...request, headers: { ...request.headers, authorization: carol } })
          expect(response.statusCode).toBe(403)
          expect(response.body).toContain(message)
          expect(fixture.isError(response.body)).toBe(true)
          expect((await limited.api('GET', '/packages/carol')).json()).toEqual([])
          expect((await limited.inject({ method: 'GET', url: fixture.file('carol') })).statusCode).toBe(404)
        } finally {
          await limited.close()
        }
      }
    })

    test('an unknown route is 404 in the ecosystem’s form', async () => {
      const prefix = fixture.file('acme').split(`/${fixture.type}/`)[0]
      const response = await get(`${prefix}/${fixture.type}/-/a/b/c/d/e/f`)
      expect(response.statusCode).toBe(404)
      expect(fixture.isError(response.body)).toBe(true)
    })
  })
}
