import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isPossibleName } from '../../src/auth/account-rules.ts'
import type { Config } from '../../src/config/config.ts'
import { html } from '../../src/pages/html.ts'
import { readTokenForm, tokenForm } from '../../src/pages/token-form.ts'
import { readPerson, toAccountName } from '../../src/sign-in/person.ts'
import { readProviders } from '../../src/sign-in/provider-settings.ts'

const DAY = 86_400_000

test('whatever is put into a template, no markup comes of it (S44)', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const { text: page } = html`<p title="${text}">${text}</p>`
      expect(page.replace(/^<p title="|">|<\/p>$/g, '')).not.toMatch(/[<>"']/)
    }),
  )
  expect(html`${[html`<b>`, html`&`]}${null}${7}`.text).toBe('<b>&7')
})

test('a name made of a claim is one that an account could have, or nothing', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 60 }), (claim) => {
      const name = toAccountName(claim)
      expect(name === '' || isPossibleName(name)).toBe(true)
      expect(name).not.toMatch(/[-._]{2}|^[-._]|[-._]$/)
    }),
  )
  expect(['ada@x.example', 'Ada Lovelace', '.x..y_', '@x', 'a/b\\c'].map(toAccountName)).toEqual([
    ...['ada', 'Ada-Lovelace', 'x.y', '', 'a-b-c'],
  ])
})

describe('a form for a token', () => {
  const send = (fields: Record<string, string>, max = 0) => readTokenForm(new URLSearchParams(fields).toString(), max)

  test('offers what the site permits', () => {
    const offered = (max: number) =>
      [...tokenForm('/', 'x', max, null).text.matchAll(/value="(\d+)"( selected)?>([^<]*)/g)].map(
        ([, , chosen, label]) => `${label}${chosen ? '*' : ''}`,
      )
    expect(offered(0)).toEqual(['1 day', '7 days', '30 days*', '90 days', '365 days'])
    expect(offered(10 * DAY)).toEqual(['1 day', '7 days', '10 days*'])
    expect(offered(DAY / 2)).toEqual(['12 hours*'])
  })

  test('takes nothing else', () => {
    const wish = { name: 'x', rights: 'read', lifetime: String(90 * DAY) }
    expect(send(wish).scopes.toList()).toEqual(['read:package'])
    expect(() => send(wish, 10 * DAY)).toThrow('does not offer')
    expect(() => readTokenForm('name=x&name=y&rights=read&lifetime=1', 0)).toThrow('not complete')
  })
})

describe('settings of a provider', () => {
  const read = (entry: object, name = 'corp', environment = {}) =>
    readProviders(
      {
        signIn: { providers: { [name]: { issuer: 'https://idp.example', clientId: 'x', ...entry } } },
      } as unknown as Config,
      environment,
    )

  test('have defaults', () => {
    const [provider] = read({})
    expect(provider).toMatchObject({ title: 'corp', scopes: 'openid profile email', createAccounts: false, teams: [] })
    expect(read({ scopes: ['groups'] })[0]!.scopes).toBe('openid groups')
  })

  test('turn groups with teams into teams with groups', () => {
    expect(read({ teams: { a: ['acme/x', 'acme/y'], b: ['ACME/X'] } })[0]!.teams).toEqual([
      { org: 'acme', team: 'x', groups: ['a', 'b'] },
      { org: 'acme', team: 'y', groups: ['a'] },
    ])
  })

  test.each([
    [{ issuer: 'http://idp.example' }, /allowInsecure/],
    [{ issuer: 'ftp://idp.example' }, /not an https URL/],
    [{ issuer: 'https://u:p@idp.example' }, /not an https URL/],
    [{ issuer: 'https://idp.example/?x=1' }, /not an https URL/],
    [{ clientSecretEnv: 'NOT_THERE' }, /NOT_THERE is not set/],
    [{ teams: { a: ['acme'] } }, /<organization>\/<team>/],
    [{ teams: { a: ['acme/x/y'] } }, /<organization>\/<team>/],
  ])('%j stops the start', (entry, message) => {
    expect(() => read(entry)).toThrow(message)
  })

  test('are reached without TLS on this host, or where that is permitted', () => {
    for (const issuer of ['http://127.0.0.1:1', 'http://localhost', 'http://[::1]:8080/realm']) read({ issuer })
    read({ issuer: 'http://idp.example', allowInsecure: true })
    expect(() => read({}, 'Corp/..')).toThrow(/a name is/)
  })

  test('claims of any shape are read', () => {
    const [settings] = read({})
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom('name', 'email', 'groups', 'preferred_username'), fc.anything()),
        (claims) => {
          const person = readPerson({ ...claims, sub: 'x' }, settings!)
          expect(person.fullName.length).toBeLessThanOrEqual(200)
          expect([...person.groups].every((group) => typeof group === 'string')).toBe(true)
        },
      ),
    )
    for (const sub of [undefined, '', 7, ' x', 'x ', 'é', 'x'.repeat(256), ['x']]) {
      expect(() => readPerson({ sub }, settings!)).toThrow('did not say who you are')
    }
  })
})
