import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Invalid } from '../../../src/errors.ts'
import { checkPath } from '../../../src/package-types/generic/names.ts'

const good = { name: 'app', version: '1.0', filename: 'app.tar.gz' }
const isTaken = (path: Partial<typeof good>): boolean => {
  try {
    checkPath({ ...good, ...path })
    return true
  } catch (error) {
    if (error instanceof Invalid) return false
    throw error
  }
}

describe('a package name', () => {
  it.each(['a', 'Z', '7', 'te-st_pac.kage', 'a+b', '...', '-a', '.a', '__', 'a..b', 'n'.repeat(255)])(
    'may be %j',
    (name) => {
      expect(isTaken({ name })).toBe(true)
    },
  )
  it.each([
    '',
    '.',
    '..',
    '-',
    '_',
    '+',
    'a b',
    ' a',
    'a/b',
    'a\\b',
    'ä',
    'a\u0000',
    'a\n',
    '\u212a',
    '\u0131',
    'a:b',
    'n'.repeat(256),
  ])('may not be %j', (name) => {
    expect(isTaken({ name })).toBe(false)
  })
})

describe('a version', () => {
  it.each(['1', '1.0.3-te st', 'v1~2:3|4', '1..2', 'größe', '\u65e5\u672c', '../x'.replace('/', '-'), 'v'.repeat(255)])(
    'may be %j',
    (version) => {
      expect(isTaken({ version })).toBe(true)
    },
  )
  it.each([
    '',
    ' ',
    ' 1',
    '1 ',
    '1\t',
    '\u00a01',
    '.',
    '..',
    '../1',
    '1/0',
    '/',
    'a\u0000',
    'a\r\nb',
    'a\u2028b',
    'a\u0085b',
    'v'.repeat(256),
  ])('may not be %j', (version) => {
    expect(isTaken({ version })).toBe(false)
  })
})

describe('a file name', () => {
  it.each(['a', 'fi-le_na.me', 'a b', 'a=1;b:2', '(x)[y]{z}~!@#$%^&', '-', '...', 'f'.repeat(255)])(
    'may be %j',
    (filename) => {
      expect(isTaken({ filename })).toBe(true)
    },
  )
  it.each([
    '',
    '.',
    '..',
    ' a',
    'a ',
    'inva|id.name',
    'a/b',
    'a\\b',
    'a"b',
    "a'b",
    'a<b',
    'a?b',
    'a*b',
    'a,b',
    'résumé',
    'a\u0000',
    'a\n',
    'f'.repeat(256),
  ])('may not be %j', (filename) => {
    expect(isTaken({ filename })).toBe(false)
  })
})

it('no part can be a path, break a header or be blank at its ends', () => {
  const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string())
  fc.assert(
    fc.property(text, fc.constantFrom('name', 'version', 'filename'), (value, part) => {
      if (!isTaken({ [part]: value })) return
      expect(value).not.toMatch(/[/\u0000-\u001f\u007f]/)
      expect(value.trim()).toBe(value)
      expect(['', '.', '..']).not.toContain(value)
    }),
    { numRuns: 300 },
  )
})
