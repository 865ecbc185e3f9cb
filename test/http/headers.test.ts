import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { acceptsGzip } from '../../src/http/accept-encoding.ts'
import { attachment } from '../../src/http/content-disposition.ts'

describe('Content-Disposition', () => {
  it.each([
    ['app.tar.gz', `attachment; filename="app.tar.gz"; filename*=UTF-8''app.tar.gz`],
    ["a b(1)'*.txt", `attachment; filename="a b(1)'*.txt"; filename*=UTF-8''a%20b%281%29%27%2A.txt`],
    ['r\u00e9sum\u00e9.pdf', `attachment; filename="r_sum_.pdf"; filename*=UTF-8''r%C3%A9sum%C3%A9.pdf`],
    [
      'x"; filename="evil.exe',
      `attachment; filename="x_; filename=_evil.exe"; filename*=UTF-8''x%22%3B%20filename%3D%22evil.exe`,
    ],
    ['a\r\nSet-Cookie: x', `attachment; filename="a__Set-Cookie: x"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x`],
    ['100%41', `attachment; filename="100_41"; filename*=UTF-8''100%2541`],
    ['back\\slash', `attachment; filename="back_slash"; filename*=UTF-8''back%5Cslash`],
    ['\ud800', `attachment; filename="_"; filename*=UTF-8''%EF%BF%BD`],
  ])('of %j', (name, expected) => {
    expect(attachment(name)).toBe(expected)
  })

  it('cannot be broken out of, and carries the exact name', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (name) => {
        const header = attachment(name)
        const match = /^attachment; filename="([\x20\x21\x23-\x5b\x5d-\x7e]*)"; filename\*=UTF-8''([\x21-\x7e]*)$/.exec(
          header,
        )
        expect(match).not.toBeNull()
        expect(match![2]).not.toMatch(/[;,"'()*]/)
        expect(decodeURIComponent(match![2]!)).toBe(name)
      }),
    )
  })
})

describe('Accept-Encoding', () => {
  it.each([
    'gzip',
    'GZIP',
    'x-gzip',
    '*',
    'br, gzip',
    'gzip;q=0.1',
    'deflate;q=0, gzip ; q=1.0',
    '*;q=0.5',
    'gzip, *;q=0',
    'br;q=1.0, *;q=0, gzip',
  ])('%j takes gzip', (header) => {
    expect(acceptsGzip(header)).toBe(true)
  })

  it.each([
    undefined,
    '',
    'identity',
    'br',
    'gzip;q=0',
    'gzip; q=0.000',
    '*;q=0',
    'gzip;q=0, *',
    'gzipped',
    'br, deflate',
  ])('%j does not', (header) => {
    expect(acceptsGzip(header)).toBe(false)
  })
})
