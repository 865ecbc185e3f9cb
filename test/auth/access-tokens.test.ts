import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Owner } from '../../src/auth/accounts.ts'
import { Scopes } from '../../src/auth/scopes.ts'
import { Invalid } from '../../src/errors.ts'
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

test('a use that cannot be noted is reported and hurts nobody', async () => {
  const parts = await AuthParts.open()
  const { row } = await parts.accessTokens.create(await parts.user('ann'), 'x', packageScope)
  await parts.models.accessToken.drop()
  parts.accessTokens.touch(row)
  await parts.accessTokens.close()
  expect(parts.errors).toHaveLength(1)
  await parts.close()
})
