import { Writable } from 'node:stream'
import { pino } from 'pino'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { logSerializers } from '../../src/log.ts'
import type { Browser } from './browser.ts'
import { baseUrl, SignInSite, secretOf } from './sign-in-site.ts'

const start = `${baseUrl}/login/oidc/corp`
const wish = { name: 'x', rights: 'all', lifetime: '86400000' }

/** Sign-ins that somebody tampers with. */
describe('attacks on sign-in', () => {
  let site: SignInSite
  let logged = ''

  beforeAll(async () => {
    const stream = new Writable({
      write: (chunk, _encoding, done) => {
        logged += String(chunk)
        done()
      },
    })
    const log = pino({ level: 'trace', serializers: logSerializers }, stream)
    site = await SignInSite.start({
      log,
      provider: { teams: {} },
      others: (oidc) => ({ other: { issuer: oidc.issuer, clientId: oidc.client.id, clientSecretEnv: 'CORP_SECRET' } }),
    })
    site.oidc.people.set('sub-mal', { preferred_username: 'mal' })
    site.oidc.people.set('sub-vic', { preferred_username: 'vic' })
  })

  afterEach(() => {
    site.oidc.intercept = () => false
  })

  afterAll(async () => {
    await site.close()
  })

  /** As far as the answer of the provider, which the browser has not brought yet. */
  const answerFor = async (sub: string, browser: Browser, change: (url: URL) => void = () => {}): Promise<URL> => {
    site.oidc.current = sub
    const begun = await browser.open(start, (next) => next.startsWith(site.oidc.issuer))
    const url = new URL(begun.url)
    change(url)
    const { url: answer } = await browser.open(url.href, (next) => next.startsWith(baseUrl))
    return new URL(answer)
  }
  const change = (url: URL, name: string, value: string | null): string => {
    const changed = new URL(url)
    if (value === null) changed.searchParams.delete(name)
    else changed.searchParams.set(name, value)
    return changed.href
  }
  const tokenRequests = () => site.oidc.asked.filter((path) => path === '/token').length

  test('the answer of one browser does not sign another in (login CSRF, S46)', async () => {
    const answer = await answerFor('sub-mal', site.browser())
    const before = tokenRequests()
    expect((await site.browser().open(answer.href)).status).toBe(400)
    const victim = site.browser()
    await answerFor('sub-vic', victim)
    expect((await victim.open(answer.href)).status).toBe(400)
    expect(tokenRequests()).toBe(before)
    expect(await site.app.services.accounts.find('mal')).toBeNull()
  })

  test.each([
    ['another state', 'state', 'x'],
    ['no state', 'state', null],
    ['another issuer (mix-up)', 'iss', 'https://evil.example'],
    ['no issuer', 'iss', null],
    ['no code', 'code', null],
  ])('%s is refused before any token is asked for', async (_what, name, value) => {
    const browser = site.browser()
    const answer = await answerFor('sub-mal', browser)
    const before = tokenRequests()
    const page = await browser.open(change(answer, name, value))
    expect(page.status).toBe(400)
    expect(tokenRequests()).toBe(before)
    // Used up: the right answer comes too late.
    expect((await browser.open(answer.href)).status).toBe(400)
  })

  test('an answer is good once', async () => {
    const browser = site.browser()
    const answer = await answerFor('sub-mal', browser)
    const cookie = `entrepot_sign_in=${browser.cookie('entrepot_sign_in')}`
    expect((await browser.open(answer.href)).status).toBe(200)
    expect((await site.browser().request('GET', answer.href, { cookie })).status).toBe(400)
  })

  test('of twenty who bring it at once one gets in', async () => {
    const browser = site.browser()
    const answer = await answerFor('sub-mal', browser)
    const cookie = `entrepot_sign_in=${browser.cookie('entrepot_sign_in')}`
    const all = await Promise.all(
      Array.from({ length: 20 }, () => site.browser().request('GET', answer.href, { cookie })),
    )
    expect(all.map(({ status }) => status).sort()).toEqual([303, ...Array(19).fill(400)])
  })

  test('a stolen code is worth nothing in a sign-in of one`s own (PKCE)', async () => {
    const stolen = await answerFor('sub-vic', site.browser())
    const browser = site.browser()
    const own = await answerFor('sub-mal', browser)
    const page = await browser.open(change(own, 'code', stolen.searchParams.get('code')))
    expect(page.status).toBe(400)
  })

  test.each(['nonce', 'code_challenge'])('a request whose %s was changed on the way leads nowhere', async (name) => {
    const browser = site.browser()
    const other = 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
    const answer = await answerFor('sub-mal', browser, (url) => url.searchParams.set(name, other))
    expect((await browser.open(answer.href)).status).toBe(400)
  })

  test('the request asks for a code with S256, state and nonce', async () => {
    const { url, headers } = await site.browser().open(start, (next) => next.startsWith(site.oidc.issuer))
    const asked = Object.fromEntries(new URL(url).searchParams)
    expect(asked).toMatchObject({ response_type: 'code', code_challenge_method: 'S256', scope: 'openid profile email' })
    expect(asked['redirect_uri']).toBe(`${start}/callback`)
    for (const name of ['state', 'nonce', 'code_challenge']) expect(asked[name]).toMatch(/^[\w-]{43}$/)
    expect(headers.getSetCookie()).toEqual([
      expect.stringMatching(/^entrepot_sign_in=[0-9a-f]{40}; Path=\/login; Max-Age=600; HttpOnly; SameSite=Lax$/),
    ])
  })

  test('an answer of one provider is no answer of another', async () => {
    const browser = site.browser()
    const answer = await answerFor('sub-mal', browser)
    expect((await browser.open(answer.href.replace('/oidc/corp/', '/oidc/other/'))).status).toBe(400)
    expect((await browser.open(`${baseUrl}/login/oidc/nowhere/callback?code=x`)).status).toBe(404)
  })

  test('a sign-in is over after ten minutes', async () => {
    const browser = site.browser()
    const answer = await answerFor('sub-mal', browser)
    site.app.clock.advance(600_001)
    expect((await browser.open(answer.href)).status).toBe(400)
  })

  test('a provider that refuses is a page, and its words cannot run (S44)', async () => {
    site.oidc.current = null
    const refused = await site.browser().open(start)
    expect(refused.status).toBe(403)
    expect(refused.body).toContain('access_denied')

    const browser = site.browser()
    const answer = await answerFor('sub-mal', browser)
    answer.searchParams.delete('code')
    const page = await browser.open(change(answer, 'error', '<script>alert(1)</script>"'))
    expect(page.status).toBe(403)
    expect(page.body).toContain('&lt;script&gt;')
    expect(page.body).not.toContain('<script')
    expect(page.headers.get('content-security-policy')).toContain("default-src 'none'")
  })

  test('a form from elsewhere makes no token (S46)', async () => {
    const browser = site.browser()
    await browser.open((await answerFor('sub-mal', browser)).href)
    const foreign = [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: 'http://packages.test.evil.example' },
      { 'sec-fetch-site': 'cross-site' },
      { 'sec-fetch-site': 'same-site' },
      {},
    ]
    for (const headers of foreign) {
      for (const path of ['token', 'npm']) {
        expect((await browser.submit(`${baseUrl}/login/${path}`, wish, headers as never)).status).toBe(403)
      }
    }
    const own = { 'sec-fetch-site': 'same-origin' }
    secretOf(await browser.submit(`${baseUrl}/login/token`, wish, own as never))
  })

  test('a form with more, fewer or other fields makes no token (S24)', async () => {
    const browser = site.browser()
    await browser.open((await answerFor('sub-mal', browser)).href)
    const { lifetime: _lifetime, ...fewer } = wish
    const bad = [
      { ...wish, user: 'root' },
      fewer,
      { ...wish, rights: 'write:admin' },
      { ...wish, rights: '__proto__' },
      { ...wish, lifetime: '99999999999999' },
      { ...wish, name: ' ' },
      { ...wish, name: 'x'.repeat(256) },
    ]
    for (const fields of bad) expect((await browser.submit(`${baseUrl}/login/token`, fields)).status).toBe(400)
    const huge = { ...wish, name: 'x'.repeat(10_000) }
    expect((await browser.submit(`${baseUrl}/login/token`, huge)).status).toBe(413)
    const type = { 'content-type': 'application/json', origin: baseUrl }
    expect((await browser.request('POST', `${baseUrl}/login/token`, type, JSON.stringify(wish))).status).toBe(400)
  })

  test.each([
    ['a reserved name', 'ghost@corp.example', null],
    ['a path', '../../etc/passwd', 'etc-passwd'],
    ['markup', '<script>alert(1)</script>', 'script-alert-1-script'],
    ['nothing usable', '😀 <>', null],
    ['a huge one', 'x'.repeat(5_000), 'x'.repeat(40)],
    ['letters of elsewhere', 'Zoë Müller', 'Zoe-Muller'],
    ['header breaks (S37)', 'a\r\nSet-Cookie: x=y', 'a-Set-Cookie-x-y'],
    ['a number', 42 as never, null],
  ])('a name from the provider: %s', async (what, claim, name) => {
    const sub = `sub of ${what.replace(/ /g, '-')}`
    const page = await site.signIn(sub, { preferred_username: claim, name: '<b>"x"\0\n', email: '<x>@y' })
    expect(page.body).not.toContain('<script>alert')
    if (name === null) {
      expect(page.status).toBe(403)
      expect(page.body).toContain('Ask an administrator')
      return
    }
    expect(page.status).toBe(200)
    expect(page.body).toContain(`<strong>${name}</strong>`)
    const user = await site.app.services.accounts.find(name)
    expect(user).toMatchObject({ name, fullName: '<b>"x"', email: '' })
  })

  test.each([
    ['down', 502],
    ['slow', 504],
    ['endless', 502],
    ['lying', 502],
  ] as const)('a provider that is %s answers %i, and works again afterwards', async (how, status) => {
    const browser = site.browser()
    const answer = await answerFor('sub-mal', browser)
    site.oidc.intercept = ({ url }, response) => {
      if (url !== '/token') return false
      if (how === 'down') response.destroy()
      if (how === 'lying') response.writeHead(500, { 'content-type': 'text/html' }).end('<b>secret-of-the-idp</b>')
      if (how === 'endless') response.writeHead(200, { 'content-type': 'application/json' }).end('x'.repeat(2_000_000))
      return true
    }
    const page = await browser.open(answer.href)
    expect(page.status).toBe(status)
    expect(page.body).not.toContain('secret-of-the-idp')
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    site.oidc.intercept = () => false
    expect((await browser.open((await answerFor('sub-mal', browser)).href)).status).toBe(200)
  })

  test('neither codes nor tokens nor cookies are logged (S19)', async () => {
    const browser = site.browser()
    const answer = await answerFor('sub-mal', browser)
    const cookie = browser.cookie('entrepot_sign_in')!
    await browser.open(answer.href)
    const secret = secretOf(await browser.submit(`${baseUrl}/login/token`, { ...wish, name: 'logged' }))
    expect(logged).toContain('/login/oidc/corp/callback')
    const { code, state } = Object.fromEntries(answer.searchParams)
    for (const canary of [code!, state!, cookie, secret, site.oidc.client.secret]) expect(logged).not.toContain(canary)
  })
})

test('behind https the cookie is for https only', async () => {
  const site = await SignInSite.start({ settings: {} })
  try {
    const replica = await site.startReplica({ ENTREPOT_BASE_URL: 'https://packages.test/below' })
    const { headers } = await replica.inject({ url: '/login/oidc/corp' })
    expect(headers['set-cookie']).toMatch(/; Path=\/below\/login; Max-Age=600; HttpOnly; SameSite=Lax; Secure$/)
    expect(headers.location).toContain(encodeURIComponent('https://packages.test/below/login/oidc/corp/callback'))
    await replica.close()
  } finally {
    await site.close()
  }
})

test('a provider that does not answer at all stops no start and is asked again later', async () => {
  const site = await SignInSite.start()
  try {
    await site.oidc.close()
    const page = await site.browser().open(start)
    expect(page.status).toBe(502)
    expect(page.body).toContain('Corp &lt;SSO&gt; cannot be used now')
    expect((await site.browser().open(`${baseUrl}/login`)).status).toBe(200)
  } finally {
    await site.close()
  }
})
