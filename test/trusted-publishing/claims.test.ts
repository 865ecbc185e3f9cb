import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { checkRules, describeClaims, fitsRules, shorten } from '../../src/trusted-publishing/claims.ts'

const GITHUB = 'https://token.actions.githubusercontent.com'
const GITLAB = 'https://gitlab.com'
const OTHER = 'https://git.example.org/api/actions'

describe('rules that say whose jobs they mean', () => {
  test.each<[string, string, string | string[]]>([
    [GITHUB, 'sub', 'repo:acme/app:ref:refs/heads/main'],
    [GITHUB, 'sub', 'repo:acme/*'],
    [GITHUB, 'sub', 'repo:acme@123/app@456:*'],
    [GITHUB, 'sub', ['repo:acme/app:*', 'repo:acme/lib:*']],
    [GITHUB, 'sub', 'repository_owner:acme'],
    [GITHUB, 'sub', 'repository_owner_id:12:*'],
    [GITHUB, 'repository', 'acme/app'],
    [GITHUB, 'repository', 'acme/*'],
    [GITHUB, 'repository_owner', 'acme'],
    [GITHUB, 'repository_id', '123'],
    [GITLAB, 'project_path', 'acme/app'],
    [GITLAB, 'project_path', 'acme/*'],
    [GITLAB, 'namespace_path', 'acme'],
    [GITLAB, 'namespace_path', 'acme/*'],
    [GITLAB, 'project_id', '1'],
    [GITLAB, 'sub', 'project_path:acme/app:ref_type:branch:ref:main'],
    [OTHER, 'repository', 'acme/app'],
    [OTHER, 'anything', 'a*'],
  ])('%s %s %j', (issuer, claim, value) => {
    expect(() => checkRules(issuer, { [claim]: value })).not.toThrow()
    expect(() => checkRules(issuer, { [claim]: value, ref: '*' })).not.toThrow()
  })
})

describe('rules that anybody could fit are refused', () => {
  test.each<[string, string, string | string[]]>([
    [GITHUB, 'sub', '*'],
    [GITHUB, 'sub', 'repo:*'],
    [GITHUB, 'sub', 'repo:acme*'],
    [GITHUB, 'sub', 'repo:*/app:*'],
    [GITHUB, 'sub', 'environment:production'],
    [GITHUB, 'sub', 'workflow:repo:acme/app'],
    [GITHUB, 'sub', 'repository_owner:acme*'],
    [GITHUB, 'sub', ['repo:acme/app:*', '*']],
    [GITHUB, 'repository', '*/app'],
    [GITHUB, 'repository', 'acme*'],
    [GITHUB, 'repository', 'a*/app'],
    [GITHUB, 'repository_owner', 'acme*'],
    [GITHUB, 'repository_id', '1*'],
    [GITHUB, 'job_workflow_ref', 'acme/ci/.github/workflows/release.yml@*'],
    [GITHUB, 'sub', 'job_workflow_ref:acme/ci/.github/workflows/release.yml@*'],
    [GITHUB, 'environment', 'production'],
    [GITHUB, 'ref', 'refs/heads/main'],
    [GITHUB, 'project_path', 'acme/app'],
    [GITHUB, 'constructor', 'acme/app'],
    [GITLAB, 'ref', 'main'],
    [GITLAB, 'project_path', 'acme*'],
    [GITLAB, 'namespace_path', 'ac*'],
    [GITLAB, 'repository', 'acme/app'],
    [OTHER, 'sub', '*'],
    [OTHER, 'sub', '**'],
    [OTHER, 'sub', ['a', '*']],
  ])('%s %s %j', (issuer, claim, value) => {
    expect(() => checkRules(issuer, { [claim]: value })).toThrow('[Claims]')
  })

  test.each(['iss', 'aud', 'exp', 'iat', 'nbf', 'jti'])('%s is not theirs', (claim) => {
    expect(() => checkRules(OTHER, { sub: 'a', [claim]: 'a' })).toThrow('checked by itself')
  })

  test.each(['', 'a b', 'a\0', 'a\n', 'é', 'a'.repeat(129)])('no claim is called %j', (claim) => {
    expect(() => checkRules(OTHER, { sub: 'a', [claim]: 'a' })).toThrow('[Claims]')
  })

  test('too many stars, too many bytes', () => {
    expect(() => checkRules(OTHER, { sub: 'a*b*c*d*' })).toThrow('3 *')
    const claims = Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`c${index}`, '💥'.repeat(250)]))
    expect(() => checkRules(OTHER, claims)).toThrow('too large')
  })
})

describe('what a token says', () => {
  const rules = { sub: 'repo:acme/app:*', environment: ['production', 'staging'] }

  test.each<[boolean, Record<string, unknown>]>([
    [true, { sub: 'repo:acme/app:ref:refs/heads/main', environment: 'staging' }],
    [true, { sub: ['other', 'repo:acme/app:'], environment: 'production', ref: 'x' }],
    [false, { sub: 'repo:acme/app', environment: 'staging' }],
    [false, { sub: 'repo:acme/application:x', environment: 'staging' }],
    [false, { sub: 'repo:ACME/app:x', environment: 'staging' }],
    [false, { sub: 'x repo:acme/app:x', environment: 'staging' }],
    [false, { sub: 'repo:acme/app:x', environment: 'Staging' }],
    [false, { sub: 'repo:acme/app:x', environment: null }],
    [false, { sub: 'repo:acme/app:x', environment: { staging: 'staging' } }],
    [false, { sub: 'repo:acme/app:x', environment: [['staging']] }],
    [false, { sub: 'repo:acme/app:x' }],
    [false, {}],
  ])('fits: %s %j', (expected, claims) => {
    expect(fitsRules(rules, claims)).toBe(expected)
  })

  test('numbers and booleans are their text, inherited properties nothing', () => {
    expect(fitsRules({ repository_id: '12', ref_protected: 'true' }, { repository_id: 12, ref_protected: true })).toBe(
      true,
    )
    expect(fitsRules({ constructor: '*' }, {})).toBe(false)
    expect(fitsRules({ toString: '*' }, {})).toBe(false)
  })

  test('a rule without star fits itself and nothing else', () => {
    const text = fc.string({ minLength: 1 }).filter((value) => !value.includes('*'))
    fc.assert(
      fc.property(text, text, (wanted, given) => fitsRules({ sub: wanted }, { sub: given }) === (wanted === given)),
    )
  })

  test('what fits an exact rule fits one with a star in place of a part of it', () => {
    const text = fc.string({ maxLength: 40 }).filter((value) => !value.includes('*'))
    fc.assert(
      fc.property(text, text, text, (before, part, after) => {
        return fitsRules({ sub: `${before}*${after}` }, { sub: before + part + after })
      }),
    )
  })

  test('many stars over a long text take no time', () => {
    const start = performance.now()
    expect(fitsRules({ sub: `${'a*'.repeat(3)}b` }, { sub: 'a'.repeat(16_000) })).toBe(false)
    expect(performance.now() - start).toBeLessThan(1_000)
  })

  test('is shown short, in one line, and without what tells nothing', () => {
    expect(describeClaims({ sub: 'job', ref: 'main', secret: 'x', environment: ['one'] })).toBe(
      'sub job, ref main, environment one',
    )
    expect(describeClaims({ secret: 'x' })).toBe('no claim that tells of its job')
    fc.assert(fc.property(fc.string(), (text) => !/[\x00-\x1f\x7f]/.test(describeClaims({ sub: text }))))
    expect([...shorten('💥'.repeat(1_000))]).toHaveLength(255)
  })
})
