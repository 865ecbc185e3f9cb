import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { basic } from '../support/test-app.ts'
import { baseUrl, SignInSite, secretOf } from './sign-in-site.ts'

const ada = { preferred_username: 'ada@corp.example', name: 'Ada L', email: 'ada@corp.example', email_verified: true }

/** People sign in at a real OpenID Connect provider; the tests play their browsers. */
describe('signing in with OpenID Connect', () => {
  let site: SignInSite

  beforeAll(async () => {
    site = await SignInSite.start()
  })

  afterAll(async () => {
    await site.close()
  })

  test('the first page offers the providers, escaped and with nothing that could run', async () => {
    const { status, body, headers } = await site.browser().open(`${baseUrl}/login`)
    expect(status).toBe(200)
    expect(body).toContain('Sign in with Corp &lt;SSO&gt;')
    expect(body).toContain(`href="${baseUrl}/login/oidc/corp"`)
    expect(headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; style-src 'sha256-[\w+/]{43}='; base-uri 'none'; form-action 'self'; frame-ancestors 'none'$/,
    )
    expect(headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(headers.get('x-content-type-options')).toBe('nosniff')
    expect(headers.get('cache-control')).toBe('no-store')
    expect(body).not.toMatch(/<script|javascript:|onclick| style=/i)
  })

  test('somebody new gets an account and a token that is shown once', async () => {
    const browser = site.browser()
    const form = await site.signIn('sub-ada', ada, browser)
    expect(form.status).toBe(200)
    expect(form.url).toBe(`${baseUrl}/login/token`)
    expect(form.body).toContain('signed in as <strong>ada</strong>')
    const month = String(30 * 86_400_000)
    expect(form.body).toContain(`<option value="${month}" selected>30 days</option>`)

    const page = await browser.submit(`${baseUrl}/login/token`, { name: 'laptop', rights: 'write', lifetime: month })
    expect(page.status).toBe(200)
    const secret = secretOf(page)
    expect(page.body).toContain(`//packages.test/api/packages/ada/npm/:_authToken=${secret}`)
    expect(page.body).toContain(`echo ${secret} | docker login packages.test -u ada --password-stdin`)

    const token = (await site.app.api('GET', '/token', undefined, `token ${secret}`)).json()
    expect(token).toMatchObject({ name: 'laptop', scopes: ['write:package'], user: { login: 'ada' } })
    const left = Date.parse(token.expires_at) - site.app.clock.now()
    expect(Math.round(left / 86_400_000)).toBe(30)
    const user = (await site.app.api('GET', '/users/ada')).json()
    expect(user).toMatchObject({ login: 'ada', full_name: 'Ada L', email: 'ada@corp.example', is_admin: false })

    const again = await browser.submit(`${baseUrl}/login/token`, { name: 'two', rights: 'all', lifetime: month })
    expect(again.status).toBe(400)
  })

  test('the same person is the same account, whatever his name is now', async () => {
    const first = await site.makeToken('sub-eve', { preferred_username: 'eve' })
    const second = await site.makeToken('sub-eve', { preferred_username: 'renamed-eve', email: 'new@corp.example' })
    const login = async (secret: string) =>
      (await site.app.api('GET', '/user', undefined, `token ${secret}`)).json().login as string
    expect([await login(first), await login(second)]).toEqual(['eve', 'eve'])
  })

  test('an account made this way has no password that could be guessed', async () => {
    await site.makeToken('sub-pat', { preferred_username: 'pat' })
    for (const password of ['', 'pat', 'null', 'undefined']) {
      expect((await site.app.api('GET', '/user', undefined, basic('pat', password))).statusCode).toBe(401)
    }
    const { services } = site.app
    expect((await services.accounts.findRecord('pat'))?.passwordHash).toBe('')
    expect((await services.accounts.find('pat'))?.mustChangePassword).toBe(false)
  })

  test('nobody takes over an account that exists: neither by its name nor by its e-mail address', async () => {
    await site.app.createUser('bob')
    const refused = await site.signIn('sub-not-bob', { preferred_username: 'Bob', email: 'bob@example.org' })
    expect(refused.status).toBe(403)
    expect(refused.body).toContain('Ask an administrator to link yours to corp sub-not-bob')
    expect(await site.app.services.signIn.identities.find('corp', 'sub-not-bob')).toBeNull()

    const page = await site.signIn('sub-other', { preferred_username: 'not-bob', email: 'BOB@example.org' })
    expect(page.status).toBe(200)
    expect((await site.app.services.accounts.find('not-bob'))?.email).toBe('')
  })

  test('an administrator links an account, and takes the link away', async () => {
    await site.app.createUser('carl')
    const identities = '/admin/users/carl/identities'
    const linked = await site.app.api('POST', identities, { provider: 'corp', subject: 'sub-carl' })
    expect(linked.statusCode).toBe(201)
    expect(linked.json()).toMatchObject({ provider: 'corp', subject: 'sub-carl', last_sign_in_at: null })
    const secret = await site.makeToken('sub-carl', { preferred_username: 'whoever' })
    expect((await site.app.api('GET', '/user', undefined, `token ${secret}`)).json().login).toBe('carl')

    const list = await site.app.api('GET', identities)
    expect(list.headers['x-total-count']).toBe('1')
    expect(list.json()[0].last_sign_in_at).toMatch(/^\d{4}-/)
    expect((await site.app.api('DELETE', `${identities}/${list.json()[0].id}`)).statusCode).toBe(204)
    expect((await site.app.api('DELETE', `${identities}/${list.json()[0].id}`)).statusCode).toBe(404)
    const events = (await site.app.api('GET', '/admin/audit?owner=carl'))
      .json()
      .map((one: { action: string }) => one.action)
    expect(events).toEqual(expect.arrayContaining(['identity.linked', 'identity.unlinked', 'signin.succeeded']))

    expect((await site.signIn('sub-carl', { preferred_username: 'carl' })).status).toBe(403)
  })

  test('what cannot be linked is refused (S24)', async () => {
    await site.app.createUser('dora')
    const link = async (body: object, who = 'dora') =>
      (await site.app.api('POST', `/admin/users/${who}/identities`, body)).statusCode
    expect(await link({ provider: 'corp', subject: 'sub-dora' })).toBe(201)
    expect(await link({ provider: 'corp', subject: 'sub-dora' }, 'root')).toBe(422)
    expect(await link({ provider: 'nowhere', subject: 'x' })).toBe(422)
    for (const subject of ['', ' x', 'x ', 'x\n', 'é', 'x\0', 'x'.repeat(256)]) {
      expect([subject, await link({ provider: 'corp', subject })]).toEqual([subject, 422])
    }
    expect(await link({ provider: 'corp', subject: 'y', is_admin: true })).toBe(422)
    expect(await link({ provider: 'corp', subject: 'z' }, 'nobody')).toBe(404)
    expect((await site.app.api('DELETE', '/admin/users/dora/identities/x')).statusCode).toBe(404)
  })

  test('a deleted account takes its identities along; a renamed one keeps them', async () => {
    await site.makeToken('sub-gone', { preferred_username: 'gone' })
    expect((await site.app.api('POST', '/admin/users/gone/rename', { new_username: 'here' })).statusCode).toBe(204)
    const secret = await site.makeToken('sub-gone', { preferred_username: 'gone' })
    expect((await site.app.api('GET', '/user', undefined, `token ${secret}`)).json().login).toBe('here')
    expect((await site.app.api('DELETE', '/admin/users/here')).statusCode).toBe(204)
    expect(await site.app.services.signIn.identities.find('corp', 'sub-gone')).toBeNull()
  })

  test('a blocked account gets no further, not even with a form that is open already', async () => {
    const browser = site.browser()
    await site.signIn('sub-block', { preferred_username: 'block' }, browser)
    const block = { source_id: 0, login_name: 'block', prohibit_login: true }
    expect((await site.app.api('PATCH', '/admin/users/block', block)).statusCode).toBe(200)
    const late = await browser.submit(`${baseUrl}/login/token`, { name: 'x', rights: 'all', lifetime: '86400000' })
    expect(late.status).toBe(403)
    const refused = await site.signIn('sub-block', { preferred_username: 'block' })
    expect(refused.status).toBe(403)
    expect(refused.body).toContain('may not sign in')
    const [event] = (await site.app.api('GET', '/admin/audit?action=signin.failed')).json()
    expect(event).toMatchObject({
      target: { owner: { login: 'block' } },
      details: { provider: 'corp', subject: 'sub-block' },
    })
  })

  test('a name that is taken among the tokens leads back to the form', async () => {
    await site.makeToken('sub-twice', { preferred_username: 'twice' })
    const browser = site.browser()
    await site.signIn('sub-twice', {}, browser)
    const wish = { name: 'one', rights: 'read', lifetime: '86400000' }
    expect((await browser.submit(`${baseUrl}/login/token`, wish)).status).toBe(200)
    await site.signIn('sub-twice', {}, browser)
    const again = await browser.submit(`${baseUrl}/login/token`, wish)
    expect(again.status).toBe(400)
    expect(again.body).toContain('access token name has been used already')
    expect((await browser.submit(`${baseUrl}/login/token`, { ...wish, name: 'two' })).status).toBe(200)
  })

  test('two servers do one sign-in together', async () => {
    const replica = await site.startReplica()
    try {
      const browser = site.browser()
      site.oidc.people.set('sub-rep', { preferred_username: 'rep' })
      site.oidc.current = 'sub-rep'
      const at = await browser.open(`${baseUrl}/login/oidc/corp`, (next) => next.includes('/callback?'))
      browser.app = replica
      expect((await browser.open(at.url)).body).toContain('signed in as <strong>rep</strong>')
      browser.app = site.app
      const wish = { name: 'one', rights: 'read', lifetime: '86400000' }
      expect((await browser.submit(`${baseUrl}/login/token`, wish)).status).toBe(200)
    } finally {
      await replica.close()
    }
  })

  test('somebody who signs in ten times at once gets one account', async () => {
    const pages = await Promise.all(
      Array.from({ length: 10 }, () => site.signIn('sub-many', { preferred_username: 'many' })),
    )
    expect(pages.map(({ status }) => status)).toEqual(Array(10).fill(200))
    expect(
      (
        await site.app.services.signIn.identities.list((await site.app.services.accounts.find('many'))!, {
          offset: 0,
          limit: 50,
        })
      ).total,
    ).toBe(1)
  })

  test('the audit log tells who came from where, and holds no secret (S19)', async () => {
    const secret = await site.makeToken('sub-log', { preferred_username: 'log' })
    await site.app.services.audit.settle()
    const events = (await site.app.api('GET', '/admin/audit?owner=log')).json()
    expect(events.map((event: { action: string }) => event.action)).toEqual([
      'token.created',
      'signin.succeeded',
      'user.created',
    ])
    expect(events[1]).toMatchObject({
      actor: { login: 'log' },
      details: { provider: 'corp', subject: 'sub-log' },
    })
    expect(JSON.stringify(events)).not.toContain(secret)
  })
})

test('without providers there is no page, and npm falls back to names and passwords', async () => {
  const { TestApp } = await import('../support/test-app.ts')
  const app = await TestApp.start()
  try {
    expect((await app.inject({ url: '/login' })).statusCode).toBe(404)
    expect((await app.inject({ url: '/login/oidc/corp' })).statusCode).toBe(404)
    await app.createOrganization('acme')
    const npm = await app.inject({ method: 'POST', url: '/api/packages/acme/npm/-/v1/login', payload: {} })
    expect(npm.statusCode).toBe(404)
  } finally {
    await app.close()
  }
})
