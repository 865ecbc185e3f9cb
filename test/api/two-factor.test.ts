import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Phone } from '../support/phone.ts'
import { basic, TestApp } from '../support/test-app.ts'

const STEP = 30_000
const PASSWORD = 'a-long-password'
const TWO_FACTOR = '/api/v1/user/two_factor'

type Method = 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'

describe('two-factor authentication', () => {
  const lines: string[] = []
  let t: TestApp
  let ann: string
  let phone: Phone
  let recovery: string[]

  beforeEach(async () => {
    lines.length = 0
    const log = pino({ level: 'trace' }, { write: (line: string) => lines.push(line) })
    t = await TestApp.start({ log })
    ann = await t.createUser('ann', PASSWORD)
    await t.createOrganization('acme', ann)
    ;({ phone, recovery } = await enable(ann))
  })
  afterEach(() => t.close())

  /** One request with a password, or whatever, and headers. */
  function ask(
    method: Method,
    url: string,
    { authorization = ann, ...headers }: Record<string, string> = {},
    payload?: object | string,
  ) {
    return t.inject({
      method,
      url,
      headers: { authorization, ...headers },
      ...(payload === undefined ? {} : { payload }),
    })
  }

  const status = async (...call: Parameters<typeof ask>) => (await ask(...call)).statusCode

  async function enable(authorization: string) {
    const begun = await ask('POST', TWO_FACTOR, { authorization })
    expect(begun.statusCode, begun.body).toBe(201)
    const phone = new Phone(begun.json().url, t.clock)
    const confirmed = await ask('POST', `${TWO_FACTOR}/confirm`, { authorization }, { code: phone.code() })
    expect(confirmed.statusCode, confirmed.body).toBe(200)
    t.clock.advance(STEP)
    return { phone, recovery: confirmed.json().recovery_codes as string[] }
  }

  /** A code that was not used before. */
  function nextCode(): string {
    t.clock.advance(STEP)
    return phone.code()
  }

  async function actions(): Promise<{ action: string; user: string | null; details: object }[]> {
    await t.services.audit.settle()
    const { rows } = await t.services.audit.queries.list({}, { offset: 0, limit: 50 })
    return rows.map(({ action, actor, details }) => ({ action, user: actor?.name ?? null, details }))
  }

  test('is begun, confirmed, shown and disabled; secret and recovery codes are shown once and kept by nobody', async () => {
    const bob = await t.createUser('bob', PASSWORD)
    const off = { enabled: false, created_at: null, recovery_codes_left: 0 }
    const state = async (headers: Record<string, string>) => (await ask('GET', TWO_FACTOR, headers)).json()
    expect(await state({ authorization: bob })).toEqual(off)
    const begun = await ask('POST', TWO_FACTOR, { authorization: bob })
    expect([begun.statusCode, begun.headers['cache-control']]).toEqual([201, 'no-store'])
    expect(begun.json()).toEqual({
      secret: expect.stringMatching(/^[A-Z2-7]{32}$/),
      url: expect.stringMatching(/^otpauth:\/\/totp\/Entrepot%20\(127\.0\.0\.1\):bob\?issuer=.*secret=[A-Z2-7]{32}&/),
    })
    expect(await state({ authorization: bob })).toEqual(off)
    const bobs = new Phone(begun.json().url, t.clock)
    const confirm = (code: unknown, more: object = {}) =>
      ask('POST', `${TWO_FACTOR}/confirm`, { authorization: bob }, { code, ...more } as object)
    expect((await confirm(bobs.wrongCode())).statusCode).toBe(422)
    expect((await confirm(bobs.code(), { enabled: true })).statusCode).toBe(422)
    expect((await confirm(123456)).statusCode).toBe(422)
    expect((await confirm('')).statusCode).toBe(422)
    const confirmed = await confirm(bobs.code())
    expect([confirmed.statusCode, confirmed.headers['cache-control']]).toEqual([200, 'no-store'])
    const codes = confirmed.json().recovery_codes
    expect(confirmed.json()).toEqual({ recovery_codes: expect.any(Array) })
    expect(new Set(codes).size).toBe(10)

    t.clock.advance(STEP)
    const signedIn = { authorization: bob, 'x-gitea-otp': bobs.code() }
    expect(await state(signedIn)).toEqual({
      enabled: true,
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
      recovery_codes_left: 10,
    })
    expect((await ask('DELETE', TWO_FACTOR, { authorization: bob })).statusCode).toBe(401)
    t.clock.advance(STEP)
    expect(await status('POST', TWO_FACTOR, { authorization: bob, 'x-gitea-otp': bobs.code() })).toBe(409)
    t.clock.advance(STEP)
    const again = { authorization: bob, 'x-gitea-otp': bobs.code() }
    expect((await ask('POST', `${TWO_FACTOR}/confirm`, again, { code: bobs.code() })).statusCode).toBe(409)
    expect(await status('DELETE', TWO_FACTOR, { authorization: bob, 'x-gitea-otp': codes[0] })).toBe(204)
    expect(await state({ authorization: bob })).toEqual(off)
    expect(await status('DELETE', TWO_FACTOR, { authorization: bob })).toBe(404)
    expect((await confirm(bobs.code(1))).statusCode).toBe(422)

    const recorded = (await actions()).filter(({ user }) => user === 'bob').map(({ action }) => action)
    expect(recorded.reverse()).toEqual([
      'two-factor.begun',
      'two-factor.enabled',
      'two-factor.recovery-code-used',
      'two-factor.disabled',
    ])
  })

  test('a password needs a right code, unused, in the header of Gitea or of npm; recovery codes are good too, once', async () => {
    expect(await status('GET', '/api/v1/user')).toBe(401)
    expect(await status('GET', '/api/v1/user', { 'x-gitea-otp': '' })).toBe(401)
    expect(await status('GET', '/api/v1/user', { 'x-gitea-otp': phone.wrongCode() })).toBe(401)
    for (const header of ['x-gitea-otp', 'npm-otp']) {
      const code = nextCode()
      expect(await status('GET', '/api/v1/user', { [header]: code })).toBe(200)
      expect(await status('GET', '/api/v1/user', { [header]: code })).toBe(401)
      const [spare] = recovery.splice(0, 1)
      expect(await status('GET', '/api/v1/user', { [header]: spare! })).toBe(200)
      expect(await status('GET', '/api/v1/user', { [header]: spare! })).toBe(401)
    }
    const { recovery_codes_left: left } = (await ask('GET', TWO_FACTOR, { 'x-gitea-otp': nextCode() })).json()
    expect(left).toBe(8)
  })

  test('the same code sent at once is good for exactly one request (S20)', async () => {
    const code = phone.code()
    const statuses = await Promise.all(
      Array.from({ length: 20 }, () => status('GET', '/api/v1/user', { 'x-gitea-otp': code })),
    )
    expect(statuses.filter((each) => each === 200)).toHaveLength(1)
    expect(statuses.filter((each) => each === 401)).toHaveLength(19)
  })

  test('access tokens need no code, wherever they stand, and get no more rights by one (S9)', async () => {
    const made = await ask(
      'POST',
      '/api/v1/users/ann/tokens',
      { 'x-gitea-otp': phone.code() },
      { name: 'x', scopes: ['read:user'] },
    )
    expect(made.statusCode, made.body).toBe(201)
    const secret = made.json().sha1 as string
    const carriers = [
      `token ${secret}`,
      `Bearer ${secret}`,
      basic('ann', secret),
      basic(secret, ''),
      basic('x', secret),
    ]
    for (const authorization of carriers) {
      for (const code of ['', nextCode(), phone.wrongCode()]) {
        const headers = { authorization, ...(code === '' ? {} : { 'x-gitea-otp': code }) }
        expect(await status('GET', TWO_FACTOR, headers)).toBe(200)
        expect(await status('GET', '/api/v1/user/orgs', headers)).toBe(403)
      }
    }
    // The token has not used the code up.
    expect(await status('GET', '/api/v1/user', { 'x-gitea-otp': phone.code() })).toBe(200)
  })

  test('in no carrier but Basic is there a password, with or without a code (S9)', async () => {
    for (const authorization of [`Bearer ${PASSWORD}`, `token ${PASSWORD}`, basic(PASSWORD, ''), basic('ann', '')]) {
      expect(await status('GET', '/api/v1/user', { authorization, 'x-gitea-otp': nextCode() })).toBe(401)
    }
    const code = nextCode()
    for (const name of ['otp', 'code', 'x-gitea-otp', 'npm-otp', 'token', 'access_token']) {
      expect(await status('GET', `/api/v1/user?${name}=${code}`)).toBe(401)
    }
    expect(await status('GET', '/api/v1/user', { authorization: basic('ann', PASSWORD + code) })).toBe(401)
    expect(await status('GET', '/api/v1/user', { authorization: basic('root', PASSWORD), 'x-gitea-otp': code })).toBe(
      401,
    )
    expect(await status('GET', '/api/v1/user', { 'x-gitea-otp': code })).toBe(200)
  })

  test('no token begins, confirms or disables it, not with a password’s rights, nor does an administrator for another', async () => {
    const bob = await t.createUser('bob', PASSWORD)
    const secret = await t.createToken('bob', ['all'], bob)
    const admins = await t.createToken('root', ['all'], t.admin)
    const calls = [
      ['POST', TWO_FACTOR, undefined],
      ['POST', `${TWO_FACTOR}/confirm`, { code: '123456' }],
      ['DELETE', TWO_FACTOR, undefined],
    ] as const
    for (const [method, url, payload] of calls) {
      for (const authorization of [`token ${secret}`, basic('bob', secret), `token ${admins}`]) {
        expect(await status(method, url, { authorization }, payload)).toBe(401)
      }
      expect(await status(method, url, { authorization: t.admin, sudo: 'bob' }, payload)).toBe(403)
      expect(await status(method, `${url}?sudo=ann`, { authorization: t.admin }, payload)).toBe(403)
    }
    expect(await t.services.models.twoFactor.count()).toBe(1)
    // A token that is restricted to packages does not even see it.
    const restrictions = { owners: ['acme'] }
    const limited = await t.api('POST', '/users/bob/tokens', { name: 'r', scopes: ['all'], restrictions }, bob)
    expect(await status('GET', TWO_FACTOR, { authorization: `token ${limited.json().sha1}` })).toBe(403)
  })

  test('an administrator sees who has it and disables it, for others', async () => {
    const list = async (query: string) =>
      ((await t.api('GET', `/admin/users?${query}`)).json() as { login: string }[]).map(({ login }) => login)
    await ask('POST', TWO_FACTOR, { authorization: await t.createUser('bob', PASSWORD) })
    expect(await list('is_2fa_enabled=true')).toEqual(['ann'])
    expect(await list('is_2fa_enabled=false&sort=id')).toEqual(['root', 'bob'])
    expect((await t.api('GET', '/admin/users?is_2fa_enabled=maybe')).statusCode).toBe(422)

    const remove = (name: string, authorization = t.admin) =>
      t.api('DELETE', `/admin/users/${name}/two_factor`, undefined, authorization)
    const own = basic('ann', PASSWORD)
    expect((await remove('ann', own)).statusCode).toBe(401)
    expect((await remove('ann')).statusCode).toBe(204)
    expect(await status('GET', '/api/v1/user')).toBe(200)
    for (const name of ['ann', 'nobody', 'acme']) expect((await remove(name)).statusCode).toBe(404)
    expect((await remove('root', own)).statusCode).toBe(403)
    expect((await remove('root')).statusCode).toBe(422)
    expect(
      (await ask('DELETE', '/api/v1/admin/users/root/two_factor?sudo=root', { authorization: t.admin })).statusCode,
    ).toBe(422)
    expect((await actions())[0]).toMatchObject({
      action: 'two-factor.disabled',
      user: 'root',
      details: { username: 'ann' },
    })
  })

  test('another password keeps it; who must change the password, or may not sign in, is told so after the code only', async () => {
    const changed = { login_name: 'ann', password: 'another-long-one', must_change_password: true }
    expect((await t.api('PATCH', '/admin/users/ann', changed)).statusCode).toBe(200)
    const authorization = basic('ann', 'another-long-one')
    expect(await status('GET', '/api/v1/user', { authorization })).toBe(401)
    expect(await status('GET', '/api/v1/user', { authorization, 'x-gitea-otp': nextCode() })).toBe(403)
    const blocked = { login_name: 'ann', must_change_password: false, prohibit_login: true }
    expect((await t.api('PATCH', '/admin/users/ann', blocked)).statusCode).toBe(200)
    expect(await status('GET', '/api/v1/user', { authorization })).toBe(401)
    expect(await status('GET', '/api/v1/user', { authorization, 'x-gitea-otp': nextCode() })).toBe(403)
  })

  test('an administrator shows his own code when he acts as another', async () => {
    const admins = await enable(t.admin)
    const asAnn = (code: string) =>
      ask('GET', '/api/v1/user', { authorization: t.admin, sudo: 'ann', 'x-gitea-otp': code })
    expect((await asAnn(phone.code())).statusCode).toBe(401)
    expect((await asAnn(admins.phone.code())).json()).toMatchObject({ login: 'ann' })
  })

  test('guessing is slowed down as for passwords, and is in the audit log', async () => {
    const guess = (i: number) => ask('GET', '/api/v1/user', { 'x-gitea-otp': phone.wrongCode(i) })
    for (let i = 0; i < 5; i += 1) {
      expect((await guess(i)).statusCode).toBe(401)
      expect(await status('GET', '/api/v1/user')).toBe(401)
    }
    const refused = await guess(6)
    expect([refused.statusCode, refused.headers['retry-after']]).toEqual([429, expect.stringMatching(/^[1-5]$/)])
    expect(await status('GET', '/api/v1/user', { 'x-gitea-otp': phone.code() })).toBe(429)
    const failures = (await actions()).filter(({ action }) => action === 'signin.failed')
    expect(failures).toHaveLength(5)
    expect(failures[0]!.details).toEqual({ factor: 'one-time-code' })
    t.clock.advance(3_600_000)
    expect(await status('GET', '/api/v1/user', { 'x-gitea-otp': phone.code() })).toBe(200)
  })

  test('on the routes of packages a password needs a code each time; every type says what to do', async () => {
    const put = { method: 'PUT', url: '/api/packages/acme/generic/app/1.0.0/file' } as const
    const bare = await ask(put.method, put.url, {}, 'bytes')
    expect([bare.statusCode, bare.headers['www-authenticate']]).toEqual([401, 'Basic realm="Entrepot"'])
    expect(bare.body).toContain('access token in place of the password')
    expect(await status(put.method, put.url, { 'x-gitea-otp': nextCode() }, 'bytes')).toBe(201)
    expect(await status('GET', put.url)).toBe(401)
    expect(await status('GET', put.url, { 'x-gitea-otp': nextCode() })).toBe(200)

    const pom = '/api/packages/acme/maven/com/acme/app/1.0/app-1.0.jar'
    const jar = await ask('PUT', pom, {}, 'jar')
    expect(jar.statusCode).toBe(401)
    expect(jar.raw.res.statusMessage).toContain('access token in place of the password')
    expect(await status('PUT', pom, { 'x-gitea-otp': nextCode() }, 'jar')).toBe(201)
  })

  test('docker, which knows no codes, is told to use an access token', async () => {
    const form = { 'content-type': 'application/x-www-form-urlencoded' }
    const grant = `grant_type=password&service=x&username=ann&password=${PASSWORD}`
    const logins = [
      () => ask('GET', '/v2/token?service=127.0.0.1:8080&account=ann'),
      () => ask('GET', '/v2/'),
      () => t.inject({ method: 'POST', url: '/v2/token', headers: form, payload: grant }),
    ]
    for (const login of logins) {
      const response = await login()
      expect(response.statusCode).toBe(401)
      expect(response.headers['www-authenticate']).not.toMatch(/otp/i)
      expect(response.json()).toEqual({
        errors: [{ code: 'UNAUTHORIZED', message: expect.stringContaining('access token in place of the password') }],
      })
    }
    expect(await status('GET', '/v2/token?offline_token=true', { 'x-gitea-otp': nextCode() })).toBe(200)
    const headers = { ...form, 'x-gitea-otp': nextCode() }
    const posted = await t.inject({ method: 'POST', url: '/v2/token', headers, payload: grant })
    expect(posted.statusCode).toBe(200)
    // What the code has opened goes on without one, until two-factor authentication is disabled.
    const authorization = `Bearer ${posted.json().token}`
    expect(await status('GET', '/v2/', { authorization })).toBe(200)
    expect((await t.api('DELETE', '/admin/users/ann/two_factor')).statusCode).toBe(204)
    expect(await status('GET', '/v2/', { authorization })).toBe(401)
  })

  test('neither a code nor a secret is in the log, the audit log, or an answer (S19)', async () => {
    const secret = await ask('POST', TWO_FACTOR, { authorization: await t.createUser('bob', PASSWORD) })
    const right = nextCode()
    const wrong = phone.wrongCode(4711)
    const url = '/api/packages/acme/generic/app/1.0.0/file'
    await ask('GET', '/api/v1/user', { 'x-gitea-otp': right, 'npm-otp': right })
    const answers = await Promise.all([
      ask('PUT', url, { 'x-gitea-otp': right }, 'bytes'),
      ask('PUT', url, { 'x-gitea-otp': wrong }, 'bytes'),
      ask('PUT', url, { 'npm-otp': recovery[0]! }, 'bytes'),
      ask('GET', '/api/v1/none', { 'npm-otp': recovery[1]! }),
    ])
    const shown = [...lines, ...answers.map(({ body, headers }) => body + JSON.stringify(headers))]
    const kept = JSON.stringify([await actions(), await t.services.models.auditEvent.findAll()])
    expect(lines.length).toBeGreaterThan(5)
    for (const canary of [right, wrong, recovery[0]!, recovery[1]!, secret.json().secret]) {
      expect(`${shown.join('\n')}\n${kept}`).not.toContain(canary)
    }
  })

  describe('npm', () => {
    const npm = '/api/packages/acme/npm'
    const user = `${npm}/-/user/org.couchdb.user:ann`
    const credentials = { name: 'ann', password: PASSWORD }
    const json = { 'content-type': 'application/json' }
    const login = (headers: Record<string, string> = {}, body: object = credentials, url = user) =>
      t.inject({ method: 'PUT', url, headers: { ...json, ...headers }, payload: JSON.stringify(body) })

    test('login asks for a code when the password is right, and only then; the token needs none', async () => {
      for (const code of [{}, { 'npm-otp': phone.wrongCode() }]) {
        const asked = await login(code)
        expect([asked.statusCode, asked.headers['www-authenticate']]).toEqual([401, 'OTP'])
        expect(asked.body).not.toContain('one-time pass')
      }
      await t.createUser('bob', PASSWORD)
      const bobs = `${npm}/-/user/org.couchdb.user:bob`
      const others = [
        await login({ 'npm-otp': phone.code() }, { ...credentials, password: 'wrong-password' }),
        await login({}, { name: 'bob', password: 'wrong-password' }, bobs),
        await login({}, { name: 'nobody', password: PASSWORD }, bobs.replace('bob', 'nobody')),
      ]
      for (const other of others) {
        expect([other.statusCode, other.headers['www-authenticate']]).toEqual([
          401,
          'Basic realm="Entrepot npm registry"',
        ])
        expect(other.body).toBe(others[0]!.body)
      }
      const code = nextCode()
      const response = await login({ 'npm-otp': code })
      expect(response.statusCode, response.body).toBe(201)
      expect((await login({ 'npm-otp': code })).statusCode).toBe(401)
      const authorization = `Bearer ${response.json().token}`
      expect(await status('GET', `${npm}/-/whoami`, { authorization })).toBe(200)
      expect((await login({}, { ...credentials, password: response.json().token })).statusCode).toBe(201)
    })

    test('a password in Basic is asked for a code', async () => {
      const asked = await ask('GET', `${npm}/-/whoami`)
      expect([asked.statusCode, asked.headers['www-authenticate']]).toEqual([401, 'OTP'])
      const answer = await ask('GET', `${npm}/-/npm/v1/user`, { 'npm-otp': nextCode() })
      expect(answer.json()).toMatchObject({ name: 'ann', tfa: { mode: 'auth-only', pending: false } })
      const bob = await t.createUser('bob', PASSWORD)
      expect((await ask('GET', `${npm}/-/npm/v1/user`, { authorization: bob })).json()).toMatchObject({ tfa: null })
    })

    test('making a token needs the code that belongs to the password, once', async () => {
      const token = (await login({ 'npm-otp': nextCode() })).json().token as string
      const create = (headers: Record<string, string>, password = PASSWORD) =>
        ask('POST', `${npm}/-/npm/v1/tokens`, { ...json, ...headers }, JSON.stringify({ password }))
      const bearer = { authorization: `Bearer ${token}` }
      const asked = await create(bearer)
      expect([asked.statusCode, asked.headers['www-authenticate']]).toEqual([401, 'OTP'])
      expect((await create({ ...bearer, 'npm-otp': nextCode() })).statusCode).toBe(200)
      // Here the password comes twice, in the header and the body, and the code once.
      const code = nextCode()
      expect((await create({ 'npm-otp': code }, 'wrong-password')).statusCode).toBe(401)
      expect((await create({ 'npm-otp': code })).statusCode).toBe(401)
      expect((await create({ 'npm-otp': nextCode() })).statusCode).toBe(200)
    })
  })
})
