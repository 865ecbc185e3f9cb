import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  formatPath,
  groupOf,
  isReplaceable,
  packageName,
  parsePath,
  type RepositoryPath,
} from '../../../src/package-types/maven/coordinates.ts'
import { algorithms } from '../../../src/storage/digest.ts'

const file = { kind: 'file', group: 'com.acme', artifact: 'tool', version: '1.0', filename: 'tool-1.0.jar' } as const

describe('a path names', () => {
  test.each<[string, RepositoryPath]>([
    ['com/acme/tool/1.0/tool-1.0.jar', file],
    ['acme/tool/1.0/any-name', { ...file, group: 'acme', filename: 'any-name' }],
    ['com.acme/tool/1.0/tool-1.0.jar', file],
    [
      'com/acme/tool/1.0-SNAPSHOT/tool-1.0-20261121.200011-1.jar',
      { ...file, version: '1.0-SNAPSHOT', filename: 'tool-1.0-20261121.200011-1.jar' },
    ],
    ['com/acme/tool/1.0/tool-1.0.jar.asc', { ...file, filename: 'tool-1.0.jar.asc' }],
    ['com/acme/tool/1.0/%61%20b+c%2B.jar', { ...file, filename: 'a b+c+.jar' }],
    ['com/acme/tool/1.0/tool-1.0%2561.jar', { ...file, filename: 'tool-1.0%61.jar' }],
    [`com/acme/tool/1.0/${'a'.repeat(255)}`, { ...file, filename: 'a'.repeat(255) }],
    ['com/acme/tool/maven-metadata.xml', { kind: 'metadata', group: 'com.acme', artifact: 'tool' }],
    ['com/maven-metadata.xml', { kind: 'metadata', group: '', artifact: 'com' }],
    // Not of a version: only snapshots have metadata of their own.
    ['com/acme/tool/1.0/maven-metadata.xml', { kind: 'metadata', group: 'com.acme.tool', artifact: '1.0' }],
    [
      'com/acme/tool/1.0-SNAPSHOT/maven-metadata.xml',
      { kind: 'snapshot-metadata', group: 'com.acme', artifact: 'tool', version: '1.0-SNAPSHOT' },
    ],
    ['archetype-catalog.xml', { kind: 'root', filename: 'archetype-catalog.xml' }],
    ['.meta/prefixes.txt', { kind: 'root', filename: '.meta/prefixes.txt' }],
  ])('%s', (path, expected) => {
    expect(parsePath(path)).toEqual({ path: expected, checksum: null })
    for (const checksum of algorithms) {
      expect(parsePath(`${path}.${checksum}`)).toEqual({ path: expected, checksum })
    }
  })

  test('a checksum of a checksum as a file', () => {
    const parsed = parsePath('com/acme/tool/1.0/tool-1.0.jar.sha1.md5')
    expect(parsed).toEqual({ path: { ...file, filename: 'tool-1.0.jar.sha1' }, checksum: 'md5' })
  })
})

describe('nothing is named by', () => {
  test.each([
    '',
    '/',
    'a',
    'a/b',
    'tool-1.0.jar',
    'tool/1.0/tool-1.0.jar',
    'maven-metadata.xml',
    '1.0-SNAPSHOT/maven-metadata.xml',
    'tool/1.0-SNAPSHOT/maven-metadata.xml',
    '/com/acme/tool/1.0/tool-1.0.jar',
    'com/acme/tool/1.0/',
    'com/acme//1.0/tool-1.0.jar',
    'com/acme/tool/../tool-1.0.jar',
    'com/acme/./1.0/tool-1.0.jar',
    'com/acme/tool/1.0/..',
    '%2e%2e/acme/tool/1.0/tool-1.0.jar',
    'com/acme/tool/%2E%2e/tool-1.0.jar',
    'com/acme/tool/1.0/..%2f..%2fetc',
    'com/acme/tool/1.0%2ftool-1.0.jar',
    'com/acme/tool/1.0/tool%5c1.jar',
    'com/acme/tool/1.0/tool%00.jar',
    'com/acme/tool/1.0/tool%0d%0a.jar',
    'com/acme/tool/1.0/tool%7f.jar',
    'com/acme/tool/1.0/tool%c2%85.jar',
    // Overlong forms of `/` and `.`, a lonely byte, half a surrogate pair: none is UTF-8.
    'com/acme/tool/1.0/..%c0%afetc',
    'com/acme/%c0%ae%c0%ae/1.0/tool.jar',
    'com/acme/tool/1.0/%ff',
    'com/acme/tool/1.0/%ed%a0%80',
    'com/acme/tool/1.0/%',
    'com/acme/tool/1.0/%zz',
    'com/acme/tool/1.0/a:b',
    'com/acme/tool:x/1.0/a',
    'com/acme/tool/1.0/a?b'.replace('?', '%3f'),
    'com/acme/tool/1.0/%20a.jar',
    'com/acme/tool/1.0/a.jar%20',
    'com/acme/tool/1.0/a%20.sha1',
    // What is left without the ending is no name.
    'com/acme/tool/1.0/.sha1',
    'com/acme/tool/1.0/..sha1',
    'com/acme/tool/1.0/...md5',
    '.com/acme/tool/1.0/tool-1.0.jar',
    'com./acme/tool/1.0/tool-1.0.jar',
    'com..acme/tool/1.0/tool-1.0.jar',
    '.index/nexus-maven-repository-index.gz',
    '.index/a/1.0/nexus-maven-repository-index.gz',
    `com/acme/tool/1.0/${'a'.repeat(256)}`,
    `com/acme/tool/1.0/${'a'.repeat(256)}.sha1`,
    `com/acme/tool/${'1'.repeat(256)}/tool.jar`,
    'com/acme/tool/maven-metadata.xml.asc',
  ])('%j', (path) => {
    expect(parsePath(path)).toBeNull()
  })
})

describe('of whatever is asked for', () => {
  const names = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 })
  const odd = fc.constantFrom(
    ...[
      '',
      '.',
      '..',
      '%',
      '%2f',
      '%2e%2e',
      '%252e%252e',
      '%00',
      '\u0000',
      '\\',
      ' ',
      ':',
      '%c0%ae',
      '\ud800',
      '\u2028',
    ],
    ...['maven-metadata.xml', '1.0-SNAPSHOT', '-SNAPSHOT', '.sha1', 'a.md5', 'com', 'a.b', 'ä', '%25'],
  )
  const encoded = (unit: fc.Arbitrary<string>) => unit.map((text) => encodeURIComponent(Buffer.from(text).toString()))
  const segment = fc.oneof(odd, names, encoded(names), encoded(odd))
  const paths = fc.array(segment, { minLength: 1, maxLength: 7 }).map((segments) => segments.join('/'))
  const segmentsOf = (path: RepositoryPath) =>
    path.kind === 'root'
      ? path.filename.split('/')
      : [
          ...(path.group === '' ? [] : path.group.split('.')),
          ...[path.artifact, 'version' in path ? path.version : 'x', 'filename' in path ? path.filename : 'x'],
        ]

  test('nothing accepted leaves its folder or breaks a line', () => {
    fc.assert(
      fc.property(paths, (path) => {
        const parsed = parsePath(path)
        if (parsed === null) return
        for (const name of segmentsOf(parsed.path)) {
          expect(name).not.toMatch(/^\.{0,2}$|[/\\:*?"<>|\p{Cc}\p{Cs}]|^\s|\s$/u)
          expect(name.length).toBeLessThanOrEqual(255)
        }
      }),
      { numRuns: 3_000 },
    )
  })

  test('what is accepted has one form, which means the same', () => {
    fc.assert(
      fc.property(paths, (path) => {
        const parsed = parsePath(path)
        if (parsed === null) return
        expect(parsePath(formatPath(parsed.path))).toEqual({ path: parsed.path, checksum: null })
      }),
      { numRuns: 3_000 },
    )
  })

  const plain = fc.stringMatching(/^[a-zA-Z0-9_-]([a-zA-Z0-9_+~ %#@-]{0,8}[a-zA-Z0-9_-])?$/)
  test('files of all groups, artifacts and versions have a path', () => {
    fc.assert(
      fc.property(
        fc.array(plain, { minLength: 1, maxLength: 4 }),
        plain,
        plain,
        plain,
        (group, artifact, version, name) => {
          const path = { kind: 'file', group: group.join('.'), artifact, version, filename: `${name}.jar` } as const
          expect(parsePath(formatPath(path))).toEqual({ path, checksum: null })
          expect(packageName(path)).toBe(`${group.join('.')}:${artifact}`)
        },
      ),
    )
  })
})

test('the path of an artifact’s metadata may be that of a group’s', () => {
  expect(groupOf({ kind: 'metadata', group: 'com.acme', artifact: 'tool' })).toBe('com.acme.tool')
  expect(groupOf({ kind: 'metadata', group: '', artifact: 'com' })).toBe('com')
})

test.each([
  ['1.0-SNAPSHOT', 'tool-1.0-SNAPSHOT.jar', true],
  ['1.0-SNAPSHOT', 'any-name.jar', true],
  ['1.0-SNAPSHOT', 'tool-1.0-20261121.200011-1.jar', false],
  ['1.0-SNAPSHOT', 'tool-1.0-20261121.200011-1-sources.jar', false],
  ['1.0-SNAPSHOT', 'tool-1.0-20261121.200011.jar', true],
  ['1.0-SNAPSHOT', 'other-1.0-20261121.200011-1.jar', true],
  ['1.0', 'tool-1.0.jar', false],
])('in %s the file %s is kept being replaced: %s', (version, filename, expected) => {
  expect(isReplaceable({ ...file, version, filename })).toBe(expected)
})

test('a version that is only called SNAPSHOT is a snapshot', () => {
  expect(isReplaceable({ ...file, version: 'SNAPSHOT', filename: 'tool-SNAPSHOT.jar' })).toBe(true)
  expect(isReplaceable({ ...file, version: 'SNAPSHOT', filename: 'tool-20261121.200011-1.jar' })).toBe(false)
  expect(parsePath('com/acme/tool/SNAPSHOT/maven-metadata.xml')?.path.kind).toBe('snapshot-metadata')
  expect(parsePath('com/acme/tool/1.0.SNAPSHOT/maven-metadata.xml')?.path.kind).toBe('metadata')
})
