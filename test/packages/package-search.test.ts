import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Owner } from '../../src/auth/owner.ts'
import { testDialects } from '../support/test-database.ts'
import { info, Registry } from './registry.ts'

const names = [
  '100%',
  '100x',
  'a_b',
  'axb',
  'a\\b',
  'a\\\\b',
  'a!b',
  '!%',
  "o'brien",
  '[a-z]',
  'Straße',
  'ÄÖ',
  'plain',
  '$1',
  ':q',
  '?',
]

describe.each(testDialects)('search on %s', (dialect) => {
  let registry: Registry
  let alice: Owner
  let bob: Owner
  beforeAll(async () => {
    registry = await Registry.open(dialect)
    alice = await registry.owner('alice')
    bob = await registry.owner('bob')
    for (const name of names) {
      for (const version of ['1', '2']) {
        registry.now += 1_000
        await registry.packages.createPackageAndAddFile(info(alice, name, version), await registry.file('f', 'x'))
      }
    }
    await registry.packages.createPackageAndAddFile(
      info(bob, 'a_b', '1', { type: 'npm' }),
      await registry.file('f', 'x'),
    )
  })
  afterAll(() => registry.close())

  const namesFound = async (q: string) => {
    const { lookup } = registry.packages
    const { versionIds } = await lookup.search({ ownerId: alice.id, q, latestOnly: true, page: 1, limit: 100 })
    return (await lookup.describe(versionIds)).map((descriptor) => descriptor.package.name).sort()
  }
  const namesWith = (q: string) => names.filter((name) => name.toLowerCase().includes(q.toLowerCase())).sort()

  test('takes every character of q for itself, wildcards and quotes too', async () => {
    for (const q of [
      '%',
      '_',
      '\\',
      '!',
      "'",
      '[',
      '0%',
      'a_b',
      'A_B',
      'a\\b',
      '\\\\',
      '!%',
      '$1',
      ':q',
      '?',
      'STRASSE',
      'straße',
      'äö',
      'ÄÖ',
    ]) {
      expect([q, await namesFound(q)]).toEqual([q, namesWith(q)])
    }
  })

  test('finds what contains q, and nothing else', async () => {
    const q = fc.string({ unit: fc.constantFrom(...'%_\\![]\'"a bx0$1?:ß'), maxLength: 4 })
    await fc.assert(
      fc.asyncProperty(q, async (text) => {
        expect(await namesFound(text)).toEqual(namesWith(text))
      }),
      { numRuns: 60 },
    )
  })

  test('filters by owner, type and package', async () => {
    const { lookup } = registry.packages
    const total = async (query: object) => (await lookup.search({ page: 1, limit: 100, ...query })).total
    expect(await total({})).toBe(2 * names.length + 1)
    expect(await total({ ownerId: bob.id })).toBe(1)
    expect(await total({ type: 'generic' })).toBe(2 * names.length)
    expect(await total({ type: 'none' })).toBe(0)
    expect(await total({ type: '', q: '' })).toBe(2 * names.length + 1)
    expect(await total({ q: 'a_b' })).toBe(3)
    expect(await total({ q: 'x'.repeat(100_000) })).toBe(0)
    const { id } = (await lookup.findPackage(alice.id, 'generic', 'plain'))!
    expect(await total({ packageId: id })).toBe(2)
    expect(await total({ packageId: id, latestOnly: true })).toBe(1)
  })

  test('lists newest first, page by page, each version once', async () => {
    const { lookup } = registry.packages
    const all = (await lookup.search({ page: 1, limit: 1_000 })).versionIds
    const descriptors = await lookup.describe(all)
    const order = descriptors.map(({ version }) => version)
    expect(order).toEqual([...order].sort((a, b) => b.createdAt - a.createdAt || b.id - a.id))
    const paged: number[] = []
    for (let page = 1; page <= 5; page += 1) {
      const result = await lookup.search({ page, limit: 10 })
      expect(result.total).toBe(all.length)
      paged.push(...result.versionIds)
    }
    expect(paged).toEqual(all)
    expect(await lookup.search({ page: 99, limit: 10 })).toEqual({ total: all.length, versionIds: [] })
    expect(await lookup.search({ page: 1, limit: 0 })).toEqual({ total: all.length, versionIds: [] })
  })
})
