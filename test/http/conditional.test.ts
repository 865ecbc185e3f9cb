import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, isNotModified, matchesEtag, parseHttpDate, parseRange } from '../../src/http/conditional.ts'

const etag = '"sha256:abc"'
const lastModified = Date.UTC(2026, 1, 3, 4, 5, 6, 789)
const date = 'Tue, 03 Feb 2026 04:05:06 GMT'

describe('an If-None-Match list', () => {
  it.each([
    etag,
    `W/${etag}`,
    '*',
    ' * ',
    `"x", ${etag}`,
    `"x",${etag},"y"`,
    `W/"x" ,\tW/${etag} , "y"`,
    `"with,comma", ${etag}`,
    `"", ${etag}`,
    `"h\u00e9", ${etag}`,
  ])('%j names it', (list) => {
    expect(matchesEtag(list, etag)).toBe(true)
  })

  it.each([
    '',
    ',',
    'sha256:abc',
    '"sha256:ab"',
    '"sha256:abc',
    'sha256:abc"',
    `w/${etag}`,
    `"x" ${etag}`,
    `"x"${etag}`,
    '"*"',
    '*, "x"',
    '"SHA256:ABC"',
    `"a"b", ${etag}`,
  ])('%j does not', (list) => {
    expect(matchesEtag(list, etag)).toBe(false)
  })

  it('compares weakly: a weak tag of ours matches its strong form', () => {
    expect(matchesEtag('"a"', 'W/"a"')).toBe(true)
    expect(matchesEtag('W/"a"', 'W/"a"')).toBe(true)
  })

  it('is read in linear time', () => {
    for (const list of [' '.repeat(200_000), '"'.repeat(200_000), 'W/'.repeat(100_000), '"a" , '.repeat(50_000)]) {
      expect(matchesEtag(list, etag)).toBe(false)
    }
  })

  it('finds our tag among any others', () => {
    const tag = fc.stringMatching(/^[!#-~]{0,20}$/)
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.boolean(), tag), { maxLength: 8 }), fc.nat(), (others, at) => {
        const tags = others.map(([weak, text]) => `${weak ? 'W/' : ''}"${text}"`)
        const without = tags.filter((text) => text.replace('W/', '') !== etag)
        expect(matchesEtag(without.join(', '), etag)).toBe(false)
        without.splice(at % (without.length + 1), 0, etag)
        expect(matchesEtag(without.join(', '), etag)).toBe(true)
      }),
    )
  })

  it('never throws', () => {
    fc.assert(fc.property(fc.string(), (list) => void matchesEtag(list, etag)))
  })
})

describe('a copy of the client', () => {
  it('is current when the etag says so, whatever the date says', () => {
    const old = 'Mon, 02 Feb 2026 04:05:06 GMT'
    expect(isNotModified({ 'if-none-match': etag, 'if-modified-since': old }, { etag, lastModified })).toBe(true)
    expect(isNotModified({ 'if-none-match': '"x"', 'if-modified-since': date }, { etag, lastModified })).toBe(false)
    expect(isNotModified({ 'if-none-match': '*' }, { etag: null, lastModified })).toBe(false)
  })

  it('is compared in whole seconds', () => {
    expect(isNotModified({ 'if-modified-since': date }, { etag, lastModified })).toBe(true)
    expect(isNotModified({ 'if-modified-since': date }, { etag, lastModified: lastModified + 1000 })).toBe(false)
    expect(isNotModified({ 'if-modified-since': date }, { etag, lastModified: null })).toBe(false)
    expect(isNotModified({}, { etag, lastModified })).toBe(false)
  })
})

describe('an HTTP date', () => {
  it('is read', () => {
    expect(parseHttpDate(date)).toBe(Date.UTC(2026, 1, 3, 4, 5, 6))
  })

  it.each([
    '',
    'now',
    '0',
    '1970',
    '2026-02-03',
    '2026-02-03T04:05:06Z',
    `${date} `,
    'Tue, 99 Feb 2026 04:05:06 GMT',
    'Tue, 03 Foo 2026 04:05:06 GMT',
  ])('%j is none', (text) => {
    expect(parseHttpDate(text)).toBeNull()
  })
})

describe('a range', () => {
  it.each([
    ['bytes=0-0', { start: 0, end: 0 }],
    ['bytes=0-', { start: 0, end: 99 }],
    ['bytes=10-19', { start: 10, end: 19 }],
    ['bytes=99-99', { start: 99, end: 99 }],
    ['bytes=90-1000', { start: 90, end: 99 }],
    ['bytes=-1', { start: 99, end: 99 }],
    ['bytes=-100', { start: 0, end: 99 }],
    ['bytes=-1000', { start: 0, end: 99 }],
    ['Bytes=5-6', { start: 5, end: 6 }],
    [`bytes=5-${'9'.repeat(400)}`, { start: 5, end: 99 }],
    [`bytes=-${'9'.repeat(400)}`, { start: 0, end: 99 }],
    ['bytes=100-', 'unsatisfiable'],
    ['bytes=100-200', 'unsatisfiable'],
    ['bytes=-0', 'unsatisfiable'],
    [`bytes=${'9'.repeat(400)}-`, 'unsatisfiable'],
    ['bytes=0-1,5-6', null],
    ['bytes=0-1,', null],
    ['bytes=5-4', 'unsatisfiable'],
    ['bytes=-', null],
    ['bytes=', null],
    ['bytes', null],
    ['', null],
    ['items=0-1', null],
    ['bytes=0x1-2', null],
    ['bytes=+1-2', null],
    ['bytes=1.5-2', null],
    ['bytes=1e1-20', null],
    ['bytes=--5', null],
    ['bytes=0-1-2', null],
    ['bytes=\u0661-2', null],
  ] as const)('%j', (header, expected) => {
    expect(parseRange(header, 100)).toEqual(expected)
  })

  it('lies within the file, or is no range', () => {
    fc.assert(
      fc.property(
        fc.nat(),
        fc.nat(),
        fc.integer({ min: 1 }),
        fc.constantFrom('a-b', 'a-', '-b'),
        (a, b, size, form) => {
          const range = parseRange(`bytes=${form.replace('a', String(a)).replace('b', String(b))}`, size)
          if (range === null || range === 'unsatisfiable') return
          expect(range.start).toBeGreaterThanOrEqual(0)
          expect(range.start).toBeLessThanOrEqual(range.end)
          expect(range.end).toBeLessThan(size)
        },
      ),
    )
  })

  it('never throws', () => {
    fc.assert(fc.property(fc.string(), fc.nat(), (text, size) => void parseRange(`bytes=${text}`, size)))
  })
})

describe('a request for a file', () => {
  const file = { etag, lastModified, size: 100 }
  const whole = { status: 200 }
  const part = { status: 206, range: { start: 1, end: 2 } }

  it.each([
    ['GET', {}, whole],
    ['GET', { range: 'bytes=1-2' }, part],
    ['HEAD', { range: 'bytes=1-2' }, whole],
    ['GET', { range: 'bytes=100-' }, { status: 416 }],
    ['GET', { range: 'bytes=1-2,4-5' }, whole],
    ['GET', { range: 'bytes=1-2', 'if-none-match': etag }, { status: 304 }],
    ['GET', { range: 'bytes=1-2', 'if-none-match': '"x"' }, part],
    ['GET', { range: 'bytes=1-2', 'if-range': etag }, part],
    ['GET', { range: 'bytes=1-2', 'if-range': `W/${etag}` }, whole],
    ['GET', { range: 'bytes=1-2', 'if-range': '"x"' }, whole],
    ['GET', { range: 'bytes=1-2', 'if-range': date }, part],
    ['GET', { range: 'bytes=1-2', 'if-range': 'Wed, 04 Feb 2026 04:05:06 GMT' }, whole],
    ['GET', { range: 'bytes=1-2', 'if-range': 'junk' }, whole],
    ['GET', { range: 'bytes=1-2', 'if-range': '' }, whole],
    ['GET', { range: 'bytes=200-', 'if-range': '"x"' }, whole],
    ['HEAD', { 'if-none-match': etag }, { status: 304 }],
    ['GET', { 'if-modified-since': date }, { status: 304 }],
  ] as const)('%s %j', (method, headers, outcome) => {
    expect(decide(method, headers, file)).toEqual(outcome)
  })

  it('gets an empty file and one of unknown size whole', () => {
    expect(decide('GET', { range: 'bytes=0-' }, { ...file, size: 0 })).toEqual(whole)
    expect(decide('GET', { range: 'bytes=0-' }, { ...file, size: null })).toEqual(whole)
  })
})
