import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatLink, readPaging } from '../../src/http/pagination.ts'

const base = 'https://packages.example.org'

describe('page and limit', () => {
  test.each([
    [{}, { page: 1, limit: 30, offset: 0 }],
    [
      { page: 3, limit: 10 },
      { page: 3, limit: 10, offset: 20 },
    ],
    [
      { page: 0, limit: 0 },
      { page: 1, limit: 30, offset: 0 },
    ],
    [
      { page: -7, limit: -1 },
      { page: 1, limit: 30, offset: 0 },
    ],
    [{ limit: 1_000 }, { page: 1, limit: 50, offset: 0 }],
  ])('%j means %j', (query, paging) => {
    expect(readPaging(query)).toEqual(paging)
  })

  test('whatever is asked, the offset is a safe integer', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true }), fc.double({ noNaN: true }), (page, limit) => {
        const { offset, limit: rows } = readPaging({ page: Math.trunc(page), limit: Math.trunc(limit) })
        expect(Number.isSafeInteger(offset)).toBe(true)
        expect(offset).toBeGreaterThanOrEqual(0)
        expect(rows).toBeGreaterThan(0)
        expect(rows).toBeLessThanOrEqual(50)
      }),
    )
  })
})

describe('Link', () => {
  const link = (page: number, total: number, url = '/api/v1/orgs?limit=10', limit = 10) =>
    formatLink(base, url, { page, limit, total })

  test('a single page has none', () => {
    expect(link(1, 0)).toBe('')
    expect(link(1, 10)).toBe('')
  })

  test('names next, last, first and prev in this order, without blanks between', () => {
    const to = (page: number, rel: string) => `<${base}/api/v1/orgs?limit=10&page=${page}>; rel="${rel}"`
    expect(link(1, 25)).toBe(`${to(2, 'next')},${to(3, 'last')}`)
    expect(link(2, 25)).toBe(`${to(3, 'next')},${to(3, 'last')},${to(1, 'first')},${to(1, 'prev')}`)
    expect(link(3, 25)).toBe(`${to(1, 'first')},${to(2, 'prev')}`)
  })

  test('a page beyond the end counts as the last', () => {
    expect(link(99, 25)).toBe(link(3, 25))
  })

  test('keeps the query, replaces the page, and takes nothing of the host that was asked', () => {
    const url = 'http://evil.example/api/v1/orgs?q=a%26b&page=2&page=9&x='
    expect(link(1, 25, url)).toContain(`<${base}/api/v1/orgs?q=a%26b&page=2&x=>; rel="next"`)
  })

  test('no URL can break out of the header', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary-ascii' }), fc.string({ unit: 'grapheme' }), (path, query) => {
        const value = formatLink(base, `/api/v1/${path}?${query}`, { page: 1, limit: 10, total: 11 })
        expect(value).toMatch(
          /^<https:\/\/packages\.example\.org\/api\/v1\/[!-;=?-~]*>; rel="next",<[!-;=?-~]*>; rel="last"$/,
        )
      }),
    )
  })
})
