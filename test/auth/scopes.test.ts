import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type ScopeCategory, Scopes } from '../../src/auth/scopes.ts'
import { Invalid } from '../../src/errors.ts'

const categories: ScopeCategory[] = [
  ...(['activitypub', 'admin', 'misc', 'notification', 'organization'] as const),
  ...(['package', 'issue', 'repository', 'user'] as const),
]
const modes = ['read', 'write'] as const
const names = ['all', 'public-only', ...categories.flatMap((category) => modes.map((mode) => `${mode}:${category}`))]
const anyScopes = fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 12 })

const rights = (scopes: Scopes) =>
  categories.flatMap((category) =>
    modes.filter((mode) => scopes.allows(category, mode)).map((mode) => `${mode}:${category}`),
  )

describe('scopes', () => {
  test('write implies read of the same category and nothing else', () => {
    expect(rights(Scopes.parse(['write:package']))).toEqual(['read:package', 'write:package'])
    expect(rights(Scopes.parse(['read:package']))).toEqual(['read:package'])
  })

  test('all gives every category, public-only none', () => {
    expect(rights(Scopes.parse(['all']))).toHaveLength(18)
    expect(rights(Scopes.parse(['public-only']))).toEqual([])
    expect(Scopes.parse(['public-only']).publicOnly).toBe(true)
  })

  test.each([
    ['duplicates', ['read:user', 'read:user'], 'read:user'],
    ['implied ones', ['read:package', 'write:package'], 'write:package'],
    ['a comma inside an element', ['read:user,read:package'], 'read:package,read:user'],
    ['the nine write scopes', categories.map((category) => `write:${category}`), 'all'],
    ['all beside others', ['read:user', 'all', 'public-only'], 'public-only,all'],
  ])('%s are normalised', (_what, list, stored) => {
    expect(Scopes.parse(list).toStored()).toBe(stored)
  })

  test.each([
    ...[[], [''], [' , '], ['sudo'], ['package'], ['write:packages'], ['WRITE:package'], ['write:package:x']],
    ...[['read:all'], ['read:'], [':package'], ['admin:package'], ['read:__proto__'], ['read:constructor']],
  ])('%j is refused', (...list) => {
    expect(() => Scopes.parse(list)).toThrow(Invalid)
  })

  test('whatever is given, the stored form has the same rights and is stable', () => {
    fc.assert(
      fc.property(anyScopes, (list) => {
        const scopes = Scopes.parse(list)
        const again = Scopes.fromStored(scopes.toStored())
        expect(rights(again)).toEqual(rights(scopes))
        expect(again.publicOnly).toBe(list.includes('public-only'))
        expect(again.toStored()).toBe(scopes.toStored())
        expect(scopes.toStored().length).toBeLessThanOrEqual(144)
      }),
    )
  })

  test('a subset never has a right that the other lacks, and never escapes public-only', () => {
    fc.assert(
      fc.property(anyScopes, anyScopes, (a, b) => {
        const [left, right] = [Scopes.parse(a), Scopes.parse(b)]
        const contained = rights(left).every((name) => rights(right).includes(name))
        expect(left.isSubsetOf(right)).toBe(contained && (left.publicOnly || !right.publicOnly))
      }),
    )
  })

  test('restricting to public keeps the rights', () => {
    const restricted = Scopes.parse(['write:package']).restrictToPublic()
    expect(restricted.toList()).toEqual(['public-only', 'write:package'])
    expect(restricted.isSubsetOf(Scopes.parse(['public-only', 'all']))).toBe(true)
  })

  test('arbitrary text is either refused or known', () => {
    fc.assert(
      fc.property(fc.array(fc.string(), { maxLength: 4 }), (list) => {
        try {
          for (const name of Scopes.parse(list).toList()) expect(names).toContain(name)
        } catch (error) {
          expect(error).toBeInstanceOf(Invalid)
        }
      }),
    )
  })
})
