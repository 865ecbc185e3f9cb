import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pathAt, rowsOf } from '../matrix/addresses.ts'
import type { Place } from '../support/rights-world.ts'
import { type OpenedApp, startOpened } from '../support/routes.ts'
import { basic, TestApp } from '../support/test-app.ts'

const nobody: Place = {
  kind: 'user',
  visibility: 'public',
  name: 'ann',
  package: 'pkg',
  isSecret: false,
  values: {
    ...{ owner: 'ann', username: 'ann', org: 'acme', team: '1', hook: '1', delivery: '1', upload: '0' },
    digest: `sha256:${'0'.repeat(64)}`,
  },
}

describe('a page of another site', () => {
  let opened: OpenedApp
  beforeAll(async () => {
    opened = await startOpened()
  })
  afterAll(() => opened?.server.close())

  test('changes nothing on any route, though the browser knows the password (security.md S46)', async () => {
    opened.stopsChanges = true
    const taken: string[] = []
    for (const row of opened.routes.flatMap(rowsOf)) {
      if (row.route.method === 'GET') continue
      for (const origin of [
        'https://evil.example',
        'null',
        'http://127.0.0.1:8081',
        'http://127.0.0.1.evil.example:8080',
      ]) {
        const headers = { authorization: opened.server.admin, origin }
        const response = await opened.server.inject({
          method: row.route.method as 'POST',
          url: pathAt(row, nobody),
          headers,
        })
        if (response.statusCode !== 403) taken.push(`${row.label} ${origin} ${response.statusCode}`)
      }
    }
    expect(taken).toEqual([])
  })

  test('is told from our own pages, by the configured name and by the one they were asked for', async () => {
    opened.stopsChanges = true
    for (const [origin, host] of [
      ['http://127.0.0.1:8080', 'anything.example'],
      ['http://registry.example', 'registry.example'],
    ]) {
      const headers = { authorization: opened.server.admin, origin: origin!, host: host! }
      const response = await opened.server.inject({ method: 'POST', url: '/api/v1/orgs', headers })
      expect([origin, response.statusCode]).toEqual([origin, 299])
    }
    const read = { authorization: opened.server.admin, origin: 'https://evil.example' }
    const response = await opened.server.inject({ method: 'GET', url: '/api/v1/user', headers: read })
    expect(response.statusCode).toBe(200)
    expect(response.headers).not.toHaveProperty('access-control-allow-origin')
  })
})

describe('switches of the whole site', () => {
  test('who must sign in gets nothing else before, on any route (security.md S22)', async () => {
    const opened = await startOpened({ environment: { ENTREPOT_AUTH_REQUIRE_SIGN_IN: 'true' } })
    try {
      opened.stopsChanges = true
      const open: string[] = []
      for (const row of opened.routes.flatMap(rowsOf)) {
        const { statusCode } = await opened.server.inject({
          method: row.route.method as 'GET',
          url: pathAt(row, { ...nobody, values: { ...nobody.values, owner: 'root', username: 'root' } }),
        })
        if (statusCode < 400) open.push(row.label)
      }
      // Operations, the version, and the ways to sign in.
      expect(open.sort()).toEqual([
        'GET /api/packages/:owner/npm/-/ping',
        'GET /api/v1/version',
        'GET /healthz',
        'GET /metrics',
        'GET /readyz',
        'POST /-/npm/v1/oidc/token/exchange/package/:name',
        'POST /api/packages/:owner/npm/-/v1/login',
        'POST /api/v1/trusted_publishing/token',
        'POST /mirror/:mirror/v2/token',
        'POST /v2/token',
        'PUT /api/packages/:owner/npm/-/user/:user',
        'PUT /api/packages/:owner/npm/-/user/:user/-rev/:revision',
      ])
    } finally {
      await opened.server.close()
    }
  })

  test('webhooks that are off can be neither read nor changed, by any method (security.md S22)', async () => {
    const opened = await startOpened({ environment: { ENTREPOT_WEBHOOKS_ENABLED: 'false' } })
    try {
      await opened.server.createOrganization('acme')
      opened.stopsChanges = true
      const rows = opened.routes.flatMap(rowsOf).filter(({ label }) => /\/(orgs\/:org|user)\/hooks/.test(label))
      expect(rows.length).toBeGreaterThan(15)
      for (const row of rows) {
        const headers = { authorization: opened.server.admin }
        const { statusCode } = await opened.server.inject({
          method: row.route.method as 'GET',
          url: pathAt(row, nobody),
          headers,
        })
        expect([row.label, statusCode]).toEqual([row.label, 403])
      }
    } finally {
      await opened.server.close()
    }
  })
})

describe('headers of proxies', () => {
  test('that nobody has configured change neither user nor address nor host (security.md S16)', async () => {
    const server = await TestApp.start()
    try {
      const forged = {
        'x-webauth-user': 'root',
        'x-forwarded-user': 'root',
        'x-remote-user': 'root',
        'remote-user': 'root',
        'x-forwarded-for': '203.0.113.9',
        'x-real-ip': '203.0.113.9',
        forwarded: 'for=203.0.113.9;host=evil.example;proto=https',
        'x-forwarded-host': 'evil.example',
        'x-forwarded-proto': 'https',
        'x-original-url': '/api/v1/admin/users',
        'x-rewrite-url': '/api/v1/admin/users',
      }
      const get = (url: string, authorization?: string) =>
        server.inject({ method: 'GET', url, headers: { ...forged, ...(authorization && { authorization }) } })
      expect((await get('/api/v1/user')).statusCode).toBe(401)
      expect((await get('/api/v1/admin/users')).statusCode).toBe(401)
      for (const name of ['a1', 'a2']) await server.createUser(name)
      const list = await get('/api/v1/users/search?limit=1', server.admin)
      expect(list.headers.link).toContain('127.0.0.1:8080')
      const challenge = await get('/v2/')
      for (const { headers, body } of [list, challenge])
        expect(JSON.stringify(headers) + body).not.toContain('evil.example')
      const created = { method: 'POST' as const, url: '/api/v1/orgs', payload: { username: 'made' } }
      await server.inject({
        ...created,
        headers: { ...forged, authorization: server.admin },
        remoteAddress: '198.51.100.1',
      })
      const audit = await server.api('GET', '/admin/audit?limit=50')
      expect(audit.body).toContain('198.51.100.1')
      expect(audit.body).not.toContain('203.0.113.9')
    } finally {
      await server.close()
    }
  })
})

describe('owners named like words of paths', () => {
  test('open nothing of others (security.md S32)', { timeout: 120_000 }, async () => {
    const server = await TestApp.start()
    try {
      const ann = await server.createUser('ann')
      const words = [
        'npm',
        'generic',
        'maven',
        'container',
        'packages',
        'package',
        'mirror',
        'token',
        'v2',
        'api',
        'v1',
        '-',
        '_catalog',
        'blobs',
        'manifests',
        'tags',
        'latest',
        'files',
        'link',
        'swagger',
        'healthz',
        'metrics',
        'user',
        'users',
        'orgs',
        'admin',
        'repos',
        'teams',
        'search',
        'whoami',
        'ping',
      ]
      const made: string[] = []
      for (const username of words) {
        // Every other one is public: it must not open those beside it.
        const visibility = made.length % 2 === 0 ? 'private' : 'public'
        const response = await server.api('POST', '/orgs', { username, visibility }, ann)
        expect([username, response.statusCode]).toEqual([username, expect.toBeOneOf([201, 422])])
        if (response.statusCode === 201) made.push(username)
      }
      expect(made.length).toBeGreaterThan(5)
      for (const owner of made) {
        for (const name of ['npm', 'generic', 'v2']) {
          const put = {
            method: 'PUT' as const,
            url: `/api/packages/${owner}/generic/${name}/1.0.0/generic`,
            headers: { authorization: ann },
          }
          expect((await server.inject({ ...put, payload: `secret of ${owner}` })).statusCode).toBe(201)
        }
      }
      const hidden = made.filter((_name, index) => index % 2 === 0)
      for (const owner of made) {
        for (const type of ['npm', 'generic', 'maven']) {
          for (const name of ['npm', 'generic', 'v2']) {
            for (const url of [
              `/api/packages/${owner}/${type}/${name}`,
              `/api/packages/${owner}/${type}/${name}/1.0.0/generic`,
              `/api/packages/${owner}/${type}/1.0.0/generic/${name}`,
              `/api/packages/${type}/${owner}/${name}/1.0.0/generic`,
              `/api/packages//${owner}/generic/${name}/1.0.0/generic`,
              `/api/packages/${owner}%2fgeneric/${name}/1.0.0/generic`,
            ]) {
              const { statusCode, body } = await server.inject({ method: 'GET', url })
              for (const other of hidden)
                expect([url, statusCode, body.includes(`secret of ${other}`)]).toEqual([url, statusCode, false])
            }
          }
        }
      }
      const shown = await server.inject({ method: 'GET', url: `/api/packages/${made[1]}/generic/npm/1.0.0/generic` })
      expect(shown.body).toBe(`secret of ${made[1]}`)
    } finally {
      await server.close()
    }
  })
})

describe('files of users', () => {
  let server: TestApp
  let ann: string
  beforeAll(async () => {
    server = await TestApp.start()
    ann = await server.createUser('ann')
  })
  afterAll(() => server?.close())

  test('never run in a browser as ours: sandboxed, not sniffed, nowhere a page (security.md S45)', async () => {
    const page = '<html><script>alert(1)</script></html>'
    const files = [
      '/api/packages/ann/generic/page/1.0.0/index.html',
      '/api/packages/ann/generic/page/1.0.0/image.svg',
      '/api/packages/ann/maven/com/example/page/1.0.0/page-1.0.0.html',
      '/api/packages/ann/maven/com/example/page/1.0.0/page-1.0.0-javadoc.jar',
    ]
    for (const url of files) {
      const put = await server.inject({
        method: 'PUT',
        url,
        headers: { authorization: ann, 'content-type': 'text/html' },
        payload: page,
      })
      expect([url, put.statusCode]).toEqual([url, 201])
      for (const headers of [{}, { range: 'bytes=0-3' }]) {
        const got = await server.inject({ method: 'GET', url, headers })
        expect(got.headers['x-content-type-options'], url).toBe('nosniff')
        expect(got.headers['content-security-policy'], url).toBe("default-src 'none'; sandbox")
        expect(got.headers['content-type'], url).not.toMatch(/html|svg|javascript|xhtml/)
      }
    }
    const generic = await server.inject({ method: 'GET', url: files[0]! })
    expect(generic.headers['content-disposition']).toMatch(/^attachment/)
  })

  test('have names that break out of no header (security.md S37)', async () => {
    const names = [
      'a\r\nset-cookie: x=y',
      'a\nb',
      '"; filename="evil.exe',
      'a;b',
      'a\u0000b',
      '\u202egnp.exe',
      '%0d%0aset-cookie: x',
      'é\u2028b',
      "a'b",
      'a\\b',
      'a,b',
    ]
    for (const name of names) {
      const url = `/api/packages/ann/generic/names/1.0.0/${encodeURIComponent(name)}`
      const put = await server.inject({ method: 'PUT', url, headers: { authorization: ann }, payload: name })
      const got = await server.inject({ method: 'GET', url })
      for (const { statusCode, headers } of [put, got]) {
        expect(statusCode, name).toBeLessThan(500)
        expect(headers, name).not.toHaveProperty('set-cookie')
        for (const value of Object.values(headers)) expect(String(value), name).toMatch(/^[\x20-\x7e]*$/)
      }
      if (got.statusCode !== 200) continue
      expect(got.headers['content-disposition']).toMatch(
        /^attachment; filename="[^"\\]*"; filename\*=UTF-8''[\w!#$&+.^`|~%-]*$/,
      )
    }
  })
})

describe('secrets', () => {
  test('are nowhere to be read after they were used (security.md S19)', { timeout: 60_000 }, async () => {
    const lines: string[] = []
    const stream = new Writable({
      write: (chunk, _encoding, done) => {
        lines.push(String(chunk))
        done()
      },
    })
    const opened = await startOpened({ log: pino({ level: 'trace' }, stream) })
    const { server } = opened
    try {
      const canary = (name: string) => `canary-${name}-0123456789`
      await server.api('POST', '/admin/users', {
        username: 'ann',
        email: 'ann@example.org',
        password: canary('first'),
        must_change_password: false,
      })
      await server.api('PATCH', '/admin/users/ann', { login_name: 'ann', password: canary('second') })
      await server.api('PATCH', '/admin/users/ann', {
        login_name: 'ann',
        password: canary('unknown'),
        nonsense: canary('field'),
      })
      const ann = basic('ann', canary('second'))
      await server.createOrganization('acme', ann)
      const secret = await server.createToken('ann', ['all'], ann)
      const config = { url: 'https://hooks.example.org/', content_type: 'json', secret: canary('hook') }
      const hook = {
        type: 'gitea',
        config,
        authorization_header: `Bearer ${canary('header')}`,
        events: ['package'],
        active: true,
      }
      await server.api('POST', '/orgs/acme/hooks', hook, ann)
      await server.api('POST', '/user/hooks', hook, ann)
      await server.api('POST', '/admin/hooks', hook)
      for (const authorization of [
        basic('ann', canary('wrong')),
        basic(canary('name'), 'x'),
        `Bearer ${canary('bearer')}`,
        `token ${canary('token')}`,
        `Basic ${canary('malformed')}`,
      ]) {
        for (const url of [
          '/api/v1/user',
          '/v2/',
          '/v2/token?service=127.0.0.1:8080',
          '/api/packages/ann/npm/a',
          '/api/packages/ann/generic/a/1/b',
        ]) {
          await server.inject({ method: 'GET', url, headers: { authorization } })
        }
      }
      await server.inject({ method: 'GET', url: `/api/v1/user?token=${canary('query')}&access_token=${secret}` })
      await server.inject({
        method: 'GET',
        url: '/api/v1/user',
        headers: { cookie: `session=${canary('cookie')}`, 'x-gitea-otp': canary('otp') },
      })
      const login = { name: 'ann', password: canary('npm'), type: 'user' }
      const npm = '/api/packages/ann/npm/-/user'
      for (const payload of [login, { ...login, password: canary('second') }]) {
        await server.inject({
          method: 'PUT',
          url: `${npm}/org.couchdb.user:ann`,
          headers: { 'content-type': 'application/json' },
          payload: JSON.stringify(payload),
        })
      }
      const form = new URLSearchParams({
        grant_type: 'password',
        username: 'ann',
        password: canary('form'),
        service: '127.0.0.1:8080',
      })
      await server.inject({
        method: 'POST',
        url: '/v2/token',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        payload: String(form),
      })
      const issued = await server.inject({
        method: 'GET',
        url: '/v2/token?service=127.0.0.1:8080&offline_token=true',
        headers: { authorization: ann },
      })
      const { token: jwt, refresh_token: refresh } = issued.json() as { token: string; refresh_token: string }
      await server.inject({ method: 'GET', url: '/v2/', headers: { authorization: `Bearer ${jwt}` } })
      await server.inject({
        method: 'DELETE',
        url: `${npm}/token/${secret}`,
        headers: { authorization: `Bearer ${secret}` },
      })
      await server.quiet()

      const answers: string[] = []
      const values = { ...nobody.values, hook: '1' }
      for (const row of opened.routes.flatMap(rowsOf)) {
        // Its answer is a token.
        if (row.route.method !== 'GET' || row.label.endsWith('/token')) continue
        for (const authorization of [server.admin, ann]) {
          const { headers, body } = await server.inject({
            method: 'GET',
            url: pathAt(row, { ...nobody, values }),
            headers: { authorization },
          })
          answers.push(JSON.stringify(headers) + body)
        }
      }
      const rows = JSON.stringify(await server.services.models.auditEvent.findAll({ raw: true }))
      expect(rows).toContain('ann')
      expect(answers.join()).toContain('acme')
      expect(lines.length).toBeGreaterThan(50)
      for (const [place, text] of Object.entries({ log: lines.join('\n'), audit: rows, answers: answers.join('\n') })) {
        const found = [...new Set(text.match(/canary-\w+-0123456789/g) ?? [])]
        // A wrong user name is what an administrator looks for.
        expect([place, found.filter((one) => one !== canary('name'))]).toEqual([place, []])
        for (const one of [secret, jwt.split('.')[2]!, refresh.split('.')[2]!])
          expect([place, text.includes(one)]).toEqual([place, false])
      }
    } finally {
      await server.close()
    }
  })

  test('are compared by their hashes, in constant time (security.md S18)', async () => {
    const folder = new URL('../../src', import.meta.url).pathname
    const files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('.ts'))
    const suspicious: string[] = []
    for (const file of files) {
      for (const line of (await readFile(join(folder, file), 'utf8')).split('\n')) {
        const compared =
          /\b[\w.]*(secret|password|passwd|signature|hmac|apikey|nonce|csrf)\w*(\[[^\]]*\])? *[!=]==? *([^\s)]+)/i.exec(
            line,
          )
        const other = compared?.[3]
        if (
          compared &&
          !/^(''|""|null|undefined|true|false|'string'|-?\d+)/.test(other!) &&
          !/typeof|\.length/.test(line)
        )
          suspicious.push(`${file}: ${line.trim()}`)
      }
    }
    expect(suspicious).toEqual([])
  })
})
