import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { networkOf } from '../../src/auth/network.ts'
import type { Browser } from './browser.ts'
import { baseUrl, SignInSite } from './sign-in-site.ts'

const registry = `${baseUrl}/api/packages/acme/npm/`

/** `npm login` as npm and a browser do it together (npm.md §7). */
describe('npm login in a browser', () => {
  let site: SignInSite

  beforeAll(async () => {
    site = await SignInSite.start()
    site.oidc.people.set('sub-nina', { preferred_username: 'nina' })
    site.oidc.current = 'sub-nina'
    await site.app.createOrganization('acme')
  })

  afterAll(async () => {
    await site.close()
  })

  const npm = (method: 'GET' | 'POST' | 'HEAD', url: string, remoteAddress = '127.0.0.1') => {
    const path = url.slice(baseUrl.length)
    return site.app.inject({ method, url: path, remoteAddress, ...(method === 'POST' && { payload: {} }) })
  }
  const begin = async () => (await npm('POST', `${registry}-/v1/login`)).json() as { loginUrl: string; doneUrl: string }
  /** Signs in with the link that npm has printed. */
  const follow = async (loginUrl: string, browser: Browser) => {
    const page = await browser.open(loginUrl)
    const link = /href="([^"]*\/oidc\/corp[^"]*)"/.exec(page.body)![1]!
    return { page, question: await browser.open(link) }
  }

  test('gives npm one token once somebody has signed in and agreed', async () => {
    const { loginUrl, doneUrl } = await begin()
    expect(loginUrl).toMatch(/^http:\/\/packages\.test\/login\?npm=[0-9a-f]{40}$/)
    expect(doneUrl).toMatch(/^http:\/\/packages\.test\/api\/packages\/acme\/npm\/-\/v1\/done\/[0-9a-f]{40}$/)
    const pending = await npm('GET', doneUrl)
    expect([pending.statusCode, pending.headers['retry-after'], pending.body]).toEqual([202, '2', '{}'])

    const browser = site.browser()
    const { page, question } = await follow(loginUrl, browser)
    expect(page.body).toContain(`asks for a token for <strong>${registry}</strong>`)
    expect(question.url).toBe(`${baseUrl}/login/npm`)
    expect(question.body).toContain('signed in as <strong>nina</strong>')
    expect(question.body).toContain('npm at the address <strong>127.0.0.1</strong>')
    expect(question.body).not.toContain('Your browser is at another address')
    expect((await npm('GET', doneUrl)).statusCode).toBe(202)
    expect((await npm('HEAD', doneUrl)).statusCode).toBe(404)

    expect((await browser.submit(`${baseUrl}/login/npm`, {})).status).toBe(200)
    const done = await npm('GET', doneUrl)
    expect(done.statusCode).toBe(200)
    expect(done.headers['cache-control']).toBe('no-store')
    const { token } = done.json() as { token: string }
    const about = (await site.app.api('GET', '/token', undefined, `token ${token}`)).json()
    expect(about).toMatchObject({ scopes: ['write:package'], user: { login: 'nina' } })
    expect(about.name).toMatch(/^npm \d{4}-\d\d-\d\d [0-9a-f]{8}$/)

    expect((await npm('GET', doneUrl)).statusCode).toBe(404)
    expect((await browser.submit(`${baseUrl}/login/npm`, {})).status).toBe(400)
    expect((await site.browser().open(loginUrl)).status).toBe(400)
  })

  test('of fifty who ask at once one gets the token', async () => {
    const { loginUrl, doneUrl } = await begin()
    const browser = site.browser()
    await follow(loginUrl, browser)
    await browser.submit(`${baseUrl}/login/npm`, {})
    const all = await Promise.all(Array.from({ length: 50 }, () => npm('GET', doneUrl)))
    expect(all.map(({ statusCode }) => statusCode).sort()).toEqual([200, ...Array(49).fill(404)])
  })

  test('the page warns when npm is somewhere else', async () => {
    const { loginUrl } = (await npm('POST', `${registry}-/v1/login`, '203.0.113.9')).json() as { loginUrl: string }
    const { question } = await follow(loginUrl, site.browser())
    expect(question.body).toContain('npm at the address <strong>203.0.113.9</strong>')
    expect(question.body).toContain('Your browser is at another address, 127.0.0.1')
  })

  test('signing in alone agrees to nothing, and what npm knows opens no page', async () => {
    const { loginUrl, doneUrl } = await begin()
    await follow(loginUrl, site.browser())
    expect((await site.browser().submit(`${baseUrl}/login/npm`, {})).status).toBe(400)
    const done = doneUrl.split('/').at(-1)!
    expect((await site.browser().open(`${baseUrl}/login?npm=${done}`)).status).toBe(400)
    const login = loginUrl.split('=').at(-1)!
    expect((await npm('GET', `${registry}-/v1/done/${login}`)).statusCode).toBe(404)
    for (const wrong of ['x', '0'.repeat(40), '%00', '../../v1/login']) {
      expect((await npm('GET', `${registry}-/v1/done/${wrong}`)).statusCode).toBe(404)
    }
    expect((await npm('GET', doneUrl)).statusCode).toBe(202)
  })

  test('a sign-in that was not begun for npm cannot agree', async () => {
    const browser = site.browser()
    await browser.open(`${baseUrl}/login/oidc/corp`)
    expect((await browser.open(`${baseUrl}/login/npm`)).status).toBe(400)
  })

  test('who was blocked after he agreed gets no token', async () => {
    site.oidc.people.set('sub-bo', { preferred_username: 'bo' })
    site.oidc.current = 'sub-bo'
    const { loginUrl, doneUrl } = await begin()
    const browser = site.browser()
    await follow(loginUrl, browser)
    await browser.submit(`${baseUrl}/login/npm`, {})
    const block = { source_id: 0, login_name: 'bo', active: false }
    expect((await site.app.api('PATCH', '/admin/users/bo', block)).statusCode).toBe(200)
    expect((await npm('GET', doneUrl)).statusCode).toBe(403)
    site.oidc.current = 'sub-nina'
  })

  test('the wait is over after ten minutes', async () => {
    const { loginUrl, doneUrl } = await begin()
    const browser = site.browser()
    await follow(loginUrl, browser)
    site.app.clock.advance(600_001)
    expect((await browser.submit(`${baseUrl}/login/npm`, {})).status).toBe(400)
    expect((await npm('GET', doneUrl)).statusCode).toBe(404)
  })

  test('one address can have a thousand waiting, others are not kept out, and all are forgotten', async () => {
    const { models, db } = site.app.services
    const expiresAt = site.app.clock.now() + 60_000
    const rows = Array.from({ length: 1_000 }, (_, index) => ({
      ...{ secretHash: `row-${index}`, kind: 'npm', network: networkOf('2001:db8::1'), sealed: '', expiresAt },
    }))
    await db.inTransaction((transaction) => models.signInTicket.bulkCreate(rows, { transaction }))
    const refused = await npm('POST', `${registry}-/v1/login`, '2001:db8::2')
    expect(refused.statusCode).toBe(429)
    expect(refused.headers['retry-after']).toBe('60')
    expect((await npm('POST', `${registry}-/v1/login`, '2001:db8:1::2')).statusCode).toBe(200)
    site.app.clock.advance(700_000)
    expect((await npm('POST', `${registry}-/v1/login`, '2001:db8::2')).statusCode).toBe(200)
    expect(await models.signInTicket.count()).toBe(2)
  })

  test('secrets are not in the database as they are', async () => {
    const { loginUrl, doneUrl } = await begin()
    const rows = JSON.stringify(await site.app.services.models.signInTicket.findAll())
    for (const url of [loginUrl, doneUrl]) expect(rows).not.toContain(url.slice(-40))
    expect(rows).not.toContain('acme')
  })
})
