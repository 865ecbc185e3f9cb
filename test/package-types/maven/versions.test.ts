import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Invalid } from '../../../src/errors.ts'
import { compareVersions, compileVersions } from '../../../src/package-types/maven/versions.ts'

describe('the order of versions', () => {
  test.each([
    ['1', '1.1'],
    ['1.9', '1.10'],
    ['1-snapshot', '1'],
    ['1', '1-sp'],
    ['1-foo2', '1-foo10'],
    ['1-alpha1', '1-beta1'],
    ['1.0-alpha-1', '1.0-milestone-1'],
    ['1.0-m3', '1.0-rc1'],
    ['1.0-rc2', '1.0-SNAPSHOT'],
    ['1.0-RC1', '1.0'],
    ['1.0', '1.0-1'],
    ['1-1', '1.1'],
    ['2.0.0.Final', '2.0.1.Final'],
    ['9.0.0.M1', '9.0.0'],
    ['1.0', '1.0-jre'],
    ['99999999999999999998', '99999999999999999999'],
  ])('%s is older than %s', (older, newer) => {
    expect(compareVersions(older, newer)).toBeLessThan(0)
    expect(compareVersions(newer, older)).toBeGreaterThan(0)
  })

  test.each([
    ['1', '1.0.0'],
    ['1.0', '1-ga'],
    ['1.0.0.RELEASE', '1'],
    ['1.0-cr1', '1.0-RC1'],
    ['1a1', '1-alpha-1'],
    ['1.01', '1.1'],
  ])('%s and %s are equal', (a, b) => {
    expect(compareVersions(a, b)).toBe(0)
  })

  test('is one, whatever people write', () => {
    const version = fc.stringMatching(/^[0-9a-cr.-]{0,8}$/)
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        expect(Math.sign(compareVersions(a, b))).toBe(-Math.sign(compareVersions(b, a)) + 0)
        expect(compareVersions(a, a)).toBe(0)
        if (compareVersions(a, b) === 0) expect(Math.sign(compareVersions(a, c))).toBe(Math.sign(compareVersions(b, c)))
      }),
    )
  })

  test('takes no time over long versions', () => {
    const long = `${'1.'.repeat(120)}x`
    for (let times = 0; times < 1_000; times += 1) compareVersions(long, `${long}-`)
  })
})

describe('versions of rules', () => {
  test.each([
    ['[1.0,2.0)', ['1.0', '1.5', '2.0-rc1'], ['0.9', '2.0']],
    ['(,1.5]', ['1.0', '1.5'], ['1.5.1']],
    ['[1.2]', ['1.2', '1.2.0'], ['1.2.1']],
    ['(,1.0),[2.0,)', ['0.9', '2.0', '3'], ['1.0', '1.9']],
    ['1.2', ['1.2', '1.2.0'], ['1.3']],
  ])('%s', (text, inside, outside) => {
    const means = compileVersions(text)
    expect(inside.filter((version) => means(version) !== true)).toEqual([])
    expect(outside.filter((version) => means(version) !== false)).toEqual([])
  })

  test.each(['[1.0', '1.0)', '(1.0)', '[2.0,1.0]', '[1,2,3]', '[1,2][3,4]', '1.0, 2.0', '[]', '[1,2],'])(
    '%s is none',
    (text) => {
      expect(() => compileVersions(text)).toThrow(Invalid)
    },
  )
})
