import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Owner } from '../../src/auth/accounts.ts'
import { Scopes } from '../../src/auth/scopes.ts'
import { Invalid, Unauthenticated } from '../../src/errors.ts'
import { AuthParts } from './auth-parts.ts'

const all = { offset: 0, limit: 50 }
const packageScope = Scopes.parse(['write:package'])

describe('access tokens', () => {
  let parts: AuthParts
  let ann: Owner

  beforeAll(async () => {
    parts = await AuthParts.open()
    ann = await parts.user('ann')
  })
  afterAll(() => parts.close())

  test('the secret is 40 hex digits and only its SHA-256 is stored', async () => {
    const { row, secret } = await parts.accessTokens.create(ann, 'laptop', packageScope)
    expect(secret).toMatch(/^[0-9a-f]{40}$/)
    expect(row.tokenLastEight).toBe(secret.slice(-8))
    const stored = await parts.models.accessToken.findByPk(row.id)
    expect(stored!.tokenHash).toBe(createHash('sha256').update(secret).digest('hex'))
    expect(JSON.stringify(stored)).not.toContain(secret)
    expect(await parts.accessTokens.findBySecret(secret)).toEqual(row)
  })

  test('a name is used once per user, also when two ask at once', async () => {
    const asked = await Promise.allSettled([1, 2, 3].map(() => parts.accessTokens.create(ann, 'twice', packageScope)))
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const result of asked) if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(Invalid)
    const bob = await parts.user('bob')
    expect((await parts.accessTokens.create(bob, 'twice', packageScope)).row.userId).toBe(bob.id)
  })

  test('a known secret costs no SQL, an unknown one is asked for every time', async () => {
    const { secret } = await parts.accessTokens.create(ann, 'warm', packageScope)
    await parts.accessTokens.findBySecret(secret)
    expect(await parts.queries(() => parts.accessTokens.findBySecret(secret))).toBe(0)
    const unknown = 'f'.repeat(40)
    expect(await parts.accessTokens.findBySecret(unknown)).toBeNull()
    expect(await parts.queries(() => parts.accessTokens.findBySecret(unknown))).toBe(1)
  })

  test.each(['', 'x', 'F'.repeat(40), 'f'.repeat(41), `${'f'.repeat(39)}'`, 'f'.repeat(10_000)])(
    'what cannot be a secret is not looked up',
    async (text) => {
      expect(await parts.queries(() => parts.accessTokens.findBySecret(text))).toBe(0)
    },
  )

  test('a revoked token is gone at once', async () => {
    const { row, secret } = await parts.accessTokens.create(ann, 'gone', packageScope)
    await parts.accessTokens.findBySecret(secret)
    await parts.accessTokens.revoke(row)
    expect(await parts.accessTokens.findBySecret(secret)).toBeNull()
    expect(await parts.accessTokens.findById(row.id)).toBeNull()
  })

  test('is found by id or exact name of its own user only', async () => {
    const { row } = await parts.accessTokens.create(ann, 'Named', packageScope)
    const mallory = await parts.user('mallory')
    expect(await parts.accessTokens.find(ann.id, String(row.id))).toEqual(row)
    expect(await parts.accessTokens.find(ann.id, 'Named')).toEqual(row)
    expect(await parts.accessTokens.find(ann.id, 'named')).toBeNull()
    expect(await parts.accessTokens.find(mallory.id, String(row.id))).toBeNull()
    expect(await parts.accessTokens.find(mallory.id, 'Named')).toBeNull()
    const { row: numeric } = await parts.accessTokens.create(mallory, String(row.id), packageScope)
    expect(await parts.accessTokens.find(mallory.id, String(row.id))).toBeNull()
    expect(await parts.accessTokens.find(mallory.id, String(numeric.id))).toEqual(numeric)
  })

  test('lists newest first, in windows', async () => {
    const carl = await parts.user('carl')
    for (const name of ['one', 'two', 'three']) {
      parts.now += 1_000
      await parts.accessTokens.create(carl, name, packageScope)
    }
    const first = await parts.accessTokens.list(carl.id, { offset: 0, limit: 2 })
    expect([first.rows.map(({ name }) => name), first.total]).toEqual([['three', 'two'], 3])
    expect((await parts.accessTokens.list(carl.id, { offset: 2, limit: 2 })).rows.map(({ name }) => name)).toEqual([
      'one',
    ])
    expect((await parts.accessTokens.list(ann.id + 1_000, all)).total).toBe(0)
  })

  test('a use is noted once a minute', async () => {
    const { row, secret } = await parts.accessTokens.create(ann, 'used', packageScope)
    const use = async () => {
      parts.accessTokens.touch((await parts.accessTokens.findBySecret(secret))!)
      await parts.accessTokens.close()
      return (await parts.models.accessToken.findByPk(row.id))!.lastUsedAt
    }
    const first = parts.now
    expect(await use()).toBe(first)
    parts.now += 59_000
    expect(await use()).toBe(first)
    parts.now += 1_000
    expect(await use()).toBe(parts.now)
    expect(parts.errors).toEqual([])
  })
})

describe('limits of access tokens', () => {
  const DAY = 86_400_000
  let parts: AuthParts
  let ann: Owner

  beforeAll(async () => {
    parts = await AuthParts.open()
    ann = await parts.user('ann')
  })
  afterAll(() => parts.close())

  test('an expired token is none, from the very moment, also on a replica that holds it', async () => {
    const replica = await parts.replica()
    const expiresAt = parts.now + DAY
    const { row, secret } = await parts.accessTokens.create(ann, 'ends', packageScope, { expiresAt })
    const find = () =>
      Promise.all(
        [parts, replica].flatMap(({ accessTokens }) => [
          accessTokens.findBySecret(secret),
          accessTokens.recall(row.id),
        ]),
      )
    replica.now = parts.now = expiresAt - 1
    expect(await find()).toEqual([row, row, row, row])
    expect(await parts.queries(find)).toBe(0)
    replica.now = parts.now = expiresAt
    expect(await find()).toEqual([null, null, null, null])
    expect(await parts.accessTokens.findById(row.id)).toEqual(row)
    await replica.db.close()
  })

  test('is listed for 30 days after its end, and then deleted', async () => {
    const bob = await parts.user('bob')
    const expiresAt = parts.now + DAY
    await parts.accessTokens.create(bob, 'ends', packageScope, { expiresAt })
    await parts.accessTokens.create(bob, 'stays', packageScope)
    const names = async () => (await parts.accessTokens.list(bob.id, all)).rows.map(({ name }) => name).sort()
    parts.now = expiresAt + 30 * DAY
    await parts.accessTokens.removeExpired()
    expect(await names()).toEqual(['ends', 'stays'])
    parts.now += 1
    expect(await parts.accessTokens.removeExpired()).toBeGreaterThan(0)
    expect(await names()).toEqual(['stays'])
  })

  test('whoever is revoked takes along what was made with it (security.md S8)', async () => {
    const carl = await parts.user('carl')
    const { row: first } = await parts.accessTokens.create(carl, 'first', packageScope)
    const second = await parts.accessTokens.create(carl, 'second', packageScope, { parentId: first.id })
    const third = await parts.accessTokens.create(carl, 'third', packageScope, { parentId: second.row.id })
    await parts.accessTokens.create(carl, 'other', packageScope)
    expect(await parts.accessTokens.findBySecret(third.secret)).not.toBeNull()
    await parts.accessTokens.revoke(first)
    expect(await parts.accessTokens.findBySecret(second.secret)).toBeNull()
    expect(await parts.accessTokens.findBySecret(third.secret)).toBeNull()
    expect((await parts.accessTokens.list(carl.id, all)).rows.map(({ name }) => name)).toEqual(['other'])
    await expect(
      parts.accessTokens.create(carl, 'orphan', packageScope, { parentId: first.id }),
    ).rejects.toBeInstanceOf(Unauthenticated)
  })
})

test('a use that cannot be noted is reported and hurts nobody', async () => {
  const parts = await AuthParts.open()
  const { row } = await parts.accessTokens.create(await parts.user('ann'), 'x', packageScope)
  await parts.models.accessToken.drop()
  parts.accessTokens.touch(row)
  await parts.accessTokens.close()
  expect(parts.errors).toHaveLength(1)
  await parts.close()
})
