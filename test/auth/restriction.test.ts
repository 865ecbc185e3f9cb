import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { anonymous } from '../../src/auth/doer.ts'
import { Restriction, type RestrictionLists } from '../../src/auth/restriction.ts'
import { Scopes } from '../../src/auth/scopes.ts'
import { grantRights, packLimits, rightsOf, type TokenRights, unpackLimits } from '../../src/auth/token-limits.ts'
import { Forbidden, Unprocessable } from '../../src/errors.ts'

const owners = ['acme', 'beta'] as const
const types = ['npm', 'container'] as const
const names = ['app', 'app-x', '@acme/app', 'team/app', 'other'] as const
const patterns = [...names, '*', 'app*', '@acme/*', '*/app', 't*m/*', '**', 'a*p*'] as const

const packages = fc.record({
  owner: fc.constantFrom(...owners),
  type: fc.constantFrom(...types),
  name: fc.constantFrom(...patterns),
})
const list = <T>(item: fc.Arbitrary<T>) => fc.array(item, { minLength: 1, maxLength: 3 })
const restrictions = fc
  .record(
    {
      owners: list(fc.constantFrom(...owners)),
      types: list(fc.constantFrom(...types)),
      packages: list(packages),
    },
    { requiredKeys: [] },
  )
  .map((lists) => (Object.keys(lists).length === 0 ? null : new Restriction(lists as RestrictionLists)))
const scopes = fc
  .uniqueArray(fc.constantFrom('public-only', 'read:package', 'write:package', 'read:user', 'write:user', 'all'), {
    minLength: 1,
  })
  .map((parts) => Scopes.parse(parts))
const rights: fc.Arbitrary<TokenRights> = fc.record({
  scopes,
  restriction: restrictions,
  expiresAt: fc.option(fc.integer({ min: 1, max: 4 }).map((day) => day * 86_400_000)),
})
const everything = owners.flatMap((owner) => types.flatMap((type) => names.map((name) => [owner, type, name] as const)))

/** What a restriction leaves of everything there is. */
function reach(restriction: Restriction | null): string[] {
  return everything.filter((one) => restriction === null || restriction.allows(...one)).map((one) => one.join(' '))
}

describe('what a restriction leaves', () => {
  test.each([
    ['app', 'app', true],
    ['app', 'APP', true],
    ['app', 'app2', false],
    ['app', 'xapp', false],
    ['@acme/*', '@acme/app', true],
    ['@acme/*', '@acme', false],
    ['@acme/*', '@acme/', true],
    ['*', 'any/thing:at.all', true],
    ['team/*/x', 'team/a/b/x', true],
    ['a*a', 'a', false],
    ['a*a', 'aa', true],
    ['a*b*c', 'abxbc', true],
    ['a*b*c', 'acb', false],
    ['ab*b', 'ab', false],
    ['a_c', 'abc', false],
    ['com.acme:*', 'com.acme:lib', true],
    ['com.acme:*', 'com_acme:lib', false],
  ])('%s of %s: %s', (pattern, name, expected) => {
    const restriction = new Restriction({ packages: [{ owner: 'Acme', type: 'npm', name: pattern }] })
    expect(restriction.allows('acme', 'npm', name)).toBe(expected)
    expect(restriction.allows('acme', 'maven', name)).toBe(false)
    expect(restriction.allows('beta', 'npm', name)).toBe(false)
  })

  test('all lists that are given must hold', () => {
    const rule = { owner: 'acme', type: 'npm', name: 'app' }
    const restriction = new Restriction({ owners: ['acme'], types: ['container'], packages: [rule] })
    expect(reach(restriction)).toEqual([])
    expect(restriction.allowsSome('acme', null)).toBe(false)
    expect(new Restriction({ owners: ['beta'], packages: [rule] }).of('acme')).toEqual([])
  })

  test.each([{}, { owners: [] }, { owners: ['a'], packages: [] }])('%j is none', (lists) => {
    expect(() => new Restriction(lists)).toThrow(Unprocessable)
  })

  test('rules, and what is said of all and of some, agree with what is said of each', () => {
    fc.assert(
      fc.property(restrictions, fc.constantFrom(...owners), fc.constantFrom(...types), (restriction, owner, type) => {
        if (restriction === null) return
        const each = names.map((name) => restriction.allows(owner, type, name))
        if (restriction.allowsAll(owner, type)) expect(each).not.toContain(false)
        if (each.includes(true)) {
          expect(restriction.allowsSome(owner, type)).toBe(true)
          expect(restriction.allowsSome(owner, null)).toBe(true)
          expect(restriction.allowsType(type)).toBe(true)
        }
        if (restriction.of(owner)?.length === 0) expect(each).not.toContain(true)
      }),
    )
  })
})

describe('a token made with another (security.md S8)', () => {
  test('can do no more, reaches no more, and ends no later', () => {
    let granted = 0
    fc.assert(
      fc.property(rights, rights, (own, asked) => {
        let given: TokenRights
        try {
          given = grantRights(own, asked)
        } catch (error) {
          expect(error).toBeInstanceOf(Forbidden)
          return
        }
        granted += 1
        expect(given.scopes.isSubsetOf(own.scopes)).toBe(true)
        expect(reach(own.restriction)).toEqual(expect.arrayContaining(reach(given.restriction)))
        expect(given.expiresAt ?? Number.POSITIVE_INFINITY).toBeLessThanOrEqual(
          own.expiresAt ?? Number.POSITIVE_INFINITY,
        )
      }),
      { numRuns: 2_000 },
    )
    expect(granted).toBeGreaterThan(20)
  })

  test('is as limited as that one where nothing else is asked', () => {
    fc.assert(
      fc.property(rights, (own) => {
        const given = grantRights(own, { scopes: own.scopes, restriction: null, expiresAt: null })
        expect([given.restriction, given.expiresAt]).toEqual([own.restriction, own.expiresAt])
      }),
    )
  })

  test('may ask for what that one has, or for less', () => {
    const wide = new Restriction({ packages: [{ owner: 'acme', type: 'npm', name: '@acme/*' }] })
    const narrow = new Restriction({ packages: [{ owner: 'acme', type: 'npm', name: '@acme/app-*' }] })
    expect(wide.isWithin(wide)).toBe(true)
    expect(narrow.isWithin(wide)).toBe(true)
    expect(wide.isWithin(narrow)).toBe(false)
    expect(narrow.isWithin(new Restriction({ owners: ['acme'] }))).toBe(true)
    expect(new Restriction({ owners: ['acme'] }).isWithin(wide)).toBe(false)
    expect(new Restriction({ owners: ['acme'], types: ['npm'] }).isWithin(new Restriction({ owners: ['acme'] }))).toBe(
      true,
    )
  })

  test('of a password is what is asked', () => {
    const asked = { scopes: Scopes.parse(['all']), restriction: null, expiresAt: null }
    expect(grantRights(anonymous, asked)).toEqual(asked)
  })
})

describe('rights as columns', () => {
  test('come back as they were', () => {
    fc.assert(
      fc.property(rights, (own) => {
        const back = rightsOf(unpackLimits(packLimits(own.scopes, own)))
        expect(back.scopes.toList()).toEqual(own.scopes.toList())
        expect(back.expiresAt).toBe(own.expiresAt)
        expect(back.restriction?.toLists()).toEqual(own.restriction?.toLists())
      }),
    )
  })

  test('give a release that knows of no limits nothing', () => {
    fc.assert(
      fc.property(rights, (own) => {
        const { scopes } = packLimits(own.scopes, own)
        const isLimited = own.restriction !== null || own.expiresAt !== null
        expect(scopes).toBe(isLimited ? 'public-only' : own.scopes.toStored())
      }),
    )
  })
})
