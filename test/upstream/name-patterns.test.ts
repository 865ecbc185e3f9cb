import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Invalid } from '../../src/errors.ts'
import { compileGlob, compilePatterns } from '../../src/upstream/name-patterns.ts'

const segment = fc.array(fc.constantFrom('a', 'b', '.', '@', '-', '+'), { minLength: 1, maxLength: 5 })
const name = fc.array(
  segment.map((letters) => letters.join('')),
  { minLength: 1, maxLength: 4 },
)

describe('a glob', () => {
  test.each([
    ['left', 'left', true],
    ['left', 'left-pad', false],
    ['left', 'Left', false],
    ['@acme/*', '@acme/app', true],
    ['@acme/*', '@acme/.app', true],
    ['@acme/*', '@acme/app/sub', false],
    ['@acme/*', '@acme2/app', false],
    ['@acme/*', 'acme', false],
    ['acme-*', 'acme-', true],
    ['acme-*', 'acme-a/b', false],
    ['acme/**', 'acme/a/b', true],
    ['acme/**', 'acme', true],
    ['acme/**', 'acme2', false],
    ['**/secret', 'secret', true],
    ['**/secret', 'a/b/secret', true],
    ['**/secret', 'a/b/secret/c', false],
    ['a/**/z', 'a/z', true],
    ['a/**/z', 'a/b/c/z', true],
    ['a/**/z', 'a/b/c', false],
    ['*', 'a', true],
    ['*', 'a/b', false],
    ['**', 'a/b', true],
    ['lib-?', 'lib-a', true],
    ['lib-?', 'lib-', false],
    ['lib?a', 'lib/a', false],
    ['*-*-x', 'a-b-c-x', true],
    ['*-*-x', 'a-x', false],
    ['a**b', 'axb', true],
    ['a**b', 'a/b', false],
    ['a.b', 'aXb', false],
    ['c++', 'c++', true],
  ])('%s and %s: %s', (pattern, text, expected) => {
    expect(compileGlob(pattern)(text)).toBe(expected)
  })

  test('means the name that it is, and no other', () => {
    fc.assert(
      fc.property(name, name, (one, other) => {
        expect(compileGlob(one.join('/'))(other.join('/'))).toBe(one.join('/') === other.join('/'))
      }),
    )
  })

  test('means every name that it was made from', () => {
    fc.assert(
      fc.property(name, fc.nat(), fc.nat(3), fc.nat(3), (segments, which, from, length) => {
        const at = which % segments.length
        const whole = segments.join('/')
        const text = segments[at]!
        const put = (piece: string[]) => [...segments.slice(0, at), ...piece, ...segments.slice(at + 1)].join('/')
        expect(compileGlob(put([`${text.slice(0, from)}*${text.slice(from + length)}`]))(whole)).toBe(true)
        expect(compileGlob(put([`${text.slice(0, -1)}?`]))(whole)).toBe(true)
        expect(compileGlob(put(['**', text, '**']))(whole)).toBe(true)
        expect(compileGlob([...segments.slice(0, at), '**'].join('/'))(whole)).toBe(true)
      }),
    )
  })

  test('is no work for long, whatever it is compared with', () => {
    // A regular expression would need 10^18 steps.
    expect(compileGlob('*a*a*ab')('a'.repeat(1_000_000))).toBe(false)
    expect(compileGlob('**/a/**/a/**/b')('a/'.repeat(500_000))).toBe(false)
  })
})

describe('patterns', () => {
  test('mean what any of them means; none mean nothing', () => {
    const matches = compilePatterns(['a-*', 'b'])
    expect(['a-1', 'b', 'c'].map(matches)).toEqual([true, true, false])
    expect(compilePatterns([])('a')).toBe(false)
  })

  test('are read by the type where it has a way of its own', () => {
    const matches = compilePatterns(['com.acme'], (pattern) => (text) => text.startsWith(`${pattern}.`))
    expect(['com.acme.lib', 'com.acme'].map(matches)).toEqual([true, false])
  })

  test.each([
    '',
    'x'.repeat(256),
    'a b',
    'a,b',
    '+(a|aa)+(a|aa)',
    '{a,b}',
    '!a',
    '[a]',
    'a\\b',
    'a\n',
    'ä',
    'a*a*a*a*a',
  ])('%j is none', (pattern) => {
    expect(() => compilePatterns(['a', pattern])).toThrow(Invalid)
  })
})
