import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Invalid } from '../../../src/errors.ts'
import {
  checkName,
  checkTag,
  normalizeVersion,
  parsePackagePath,
  parseTarget,
  tarballFile,
  tarballFileName,
  versionOfFile,
} from '../../../src/package-types/npm/names.ts'

describe('a path below the registry', () => {
  test.each([
    ['left-pad', 'left-pad', []],
    ['left-pad/', 'left-pad', []],
    ['left-pad/1.0.0', 'left-pad', ['1.0.0']],
    ['left-pad/-/left-pad-1.0.0.tgz', 'left-pad', ['-', 'left-pad-1.0.0.tgz']],
    ['@acme/b', '@acme/b', []],
    ['@acme/b/latest', '@acme/b', ['latest']],
    ['@acme/b/-/@acme/b-1.0.0.tgz/-rev/3-x', '@acme/b', ['-', '@acme', 'b-1.0.0.tgz', '-rev', '3-x']],
    ['JSONStream', 'JSONStream', []],
    ["it's~fine!*(really)", "it's~fine!*(really)", []],
  ])('%s names %s', (path, name, rest) => {
    expect(parsePackagePath(path)).toEqual({ name, rest })
    expect(parseTarget({ params: { owner: 'acme', '*': path } })).toEqual({ owner: 'acme', name })
  })

  test.each(['', '-', '-/unknown', '-/v1/other', '@acme', '@acme/'])('%j names nothing', (path) => {
    expect(parsePackagePath(path)).toBeNull()
  })

  test('routes without a path name nothing', () => {
    expect(parseTarget({ params: { owner: 'acme' } })).toEqual({ owner: 'acme', name: null })
  })

  test.each([
    '..',
    '../etc/passwd',
    'a/../b',
    './a',
    'a/.',
    'a//b',
    '/a',
    '@acme//b',
    '@acme/..',
    '@../b',
    'a\0b',
    'a\r\nx: y',
    'a\\..\\b',
    'a\u0080',
    'a\ufffd',
    'x'.repeat(215),
    `@s/${'x'.repeat(213)}`,
  ])('%j is refused', (path) => {
    expect(() => parsePackagePath(path)).toThrow(Invalid)
  })

  test('no accepted name or segment leaves its folder', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('a', '@s', '..', '.', '', '-', '\\', '\0', '%2e', '/'), { maxLength: 6 }),
        (parts) => {
          let found = null
          try {
            found = parsePackagePath(parts.join('/'))
          } catch (error) {
            expect(error).toBeInstanceOf(Invalid)
          }
          if (found === null) return
          for (const segment of [...found.name.split('/'), ...found.rest]) {
            expect(['', '.', '..']).not.toContain(segment)
            expect(segment).not.toMatch(/[\\\0]/)
          }
        },
      ),
    )
  })
})

describe('names of our packages', () => {
  test.each(['a', 'left-pad', '@acme/tiny-b', '-rev', '@-/a', 'a.b_c', 'x'.repeat(214)])(
    '%s may be published',
    (name) => {
      expect(() => checkName(name)).not.toThrow()
    },
  )

  test.each([
    '',
    '-',
    '.a',
    '_a',
    'JSONStream',
    '@acme',
    '@acme/',
    '@/a',
    '@.a/b',
    '@a/.b',
    'a b',
    'a/b',
    'ü',
    'a\n',
    'x'.repeat(215),
  ])('%j may not', (name) => {
    expect(() => checkName(name)).toThrow(Invalid)
  })
})

test.each([
  ['1.0.0', '1.0.0'],
  ['v1.0.1-pre', '1.0.1-pre'],
  ['1.0.0+build.5', '1.0.0'],
  [' 1.0.0 ', '1.0.0'],
  ['1.0', null],
  ['latest', null],
  ['1.0.0/../../x', null],
  ['', null],
  [7, null],
  [`1.0.0-${'a'.repeat(200)}`, null],
])('the version %j is %j', (version, normal) => {
  expect(normalizeVersion(version)).toBe(normal)
})

describe('tarball files', () => {
  test.each([
    ['a', ['a-1.0.0.tgz'], 'a-1.0.0.tgz'],
    ['@acme/b', ['b-1.0.0.tgz'], 'b-1.0.0.tgz'],
    ['@acme/b', ['@acme', 'b-1.0.0.tgz'], 'b-1.0.0.tgz'],
    ['@acme/b', ['1.0.0', 'b-1.0.0.tgz'], 'b-1.0.0.tgz'],
    ['a', ['1.0.0', 'a-1.0.0.tgz'], 'a-1.0.0.tgz'],
    ['a', ['2.0.0', 'a-1.0.0.tgz'], null],
    ['@acme/b', ['@other', 'b-1.0.0.tgz'], null],
    ['a', [], null],
    ['a', ['x', 'y', 'a-1.0.0.tgz'], null],
  ])('of %s: %j is %j', (name, segments, file) => {
    expect(tarballFile(name, segments)).toBe(file)
  })

  test.each([
    ['a', 'a-1.0.0.tgz', '1.0.0'],
    ['@acme/b', 'b-1.0.0-pre.1.tgz', '1.0.0-pre.1'],
    ['a-b', 'a-b-1.0.0.tgz', '1.0.0'],
    ['a', 'A-1.0.0.TGZ', '1.0.0'],
    ['a', 'b-1.0.0.tgz', null],
    ['a', 'a-1.0.0.zip', null],
    ['a', 'a-.tgz', null],
  ])('of %s: %s holds %j', (name, file, version) => {
    expect(versionOfFile(name, file)).toBe(version)
  })

  test('the standard name says which version it is', () => {
    expect(versionOfFile('@acme/b', tarballFileName('@acme/b', '1.2.3-rc.1'))).toBe('1.2.3-rc.1')
  })
})

describe('tags', () => {
  test.each(['latest', 'next', 'release', 'beta.1', '__proto__', 'constructor'])('%s is one', (tag) => {
    expect(() => checkTag(tag)).not.toThrow()
  })

  test.each(['', ' ', '1.0', 'v1.0', '1', 'x', '*', '>=2', '1.x || 2', 'a b', 'a/b', 'ä', 'a\n', 'x'.repeat(201)])(
    '%j is none',
    (tag) => {
      expect(() => checkTag(tag)).toThrow(Invalid)
    },
  )
})
