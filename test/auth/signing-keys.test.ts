import { afterEach, beforeEach, expect, test } from 'vitest'
import { AuthParts } from './auth-parts.ts'

const DAY = 86_400_000

let parts: AuthParts

beforeEach(async () => {
  parts = await AuthParts.open()
})
afterEach(() => parts.close())

const kids = async () => (await parts.models.signingKey.findAll({ order: ['kid'] })).map(({ kid }) => kid)
const today = () => String(Math.floor(parts.now / DAY))

test('there is one key for each UTC day, and it is found by its name', async () => {
  const first = await parts.signingKeys.current()
  expect(first.kid).toBe(today())
  parts.now += DAY - 1
  expect((await parts.signingKeys.current()).kid).toBe(first.kid)
  parts.now += 1
  const second = await parts.signingKeys.current()
  expect(second.kid).toBe(String(Number(first.kid) + 1))
  expect(second.secret.equals(first.secret)).toBe(false)
  expect((await parts.signingKeys.find(first.kid))?.equals(first.secret)).toBe(true)
  expect(await kids()).toEqual([first.kid, second.kid])
})

test('a key is 256 bits, and needs no SQL once it is known', async () => {
  const { kid, secret } = await parts.signingKeys.current()
  expect(secret.symmetricKeySize).toBe(32)
  expect(await parts.queries(() => parts.signingKeys.current())).toBe(0)
  expect(await parts.queries(() => parts.signingKeys.find(kid))).toBe(0)
})

test('processes that need the first key at once agree on one', async () => {
  const replicas = await Promise.all([parts.replica(), parts.replica(), parts.replica()])
  const asking = [parts, ...replicas].flatMap(({ signingKeys }) => [signingKeys.current(), signingKeys.current()])
  const keys = await Promise.all(asking)
  expect(keys).toHaveLength(8)
  for (const { kid, secret } of keys) {
    expect(kid).toBe(today())
    expect(secret.equals(keys[0]!.secret)).toBe(true)
  }
  expect(await kids()).toEqual([today()])
  for (const replica of replicas) await replica.db.close()
})

test('the key of another process is read once, also one that was made after the first look', async () => {
  const replica = await parts.replica()
  expect(await replica.signingKeys.find(today())).toBe(null)
  const { kid, secret } = await parts.signingKeys.current()
  expect(await replica.queries(() => replica.signingKeys.find(kid))).toBe(1)
  expect(await replica.queries(() => replica.signingKeys.find(kid))).toBe(0)
  expect((await replica.signingKeys.find(kid))?.equals(secret)).toBe(true)
  await replica.db.close()
})

test('a name that no key can have costs no SQL', async () => {
  await parts.signingKeys.current()
  const days = [-32, 2, 10_000].map((difference) => String(Number(today()) + difference))
  for (const kid of [...days, '', '0', '-1', '../../etc/passwd', "1' OR '1'='1", '9'.repeat(1_000), `${today()}.0`]) {
    expect(await parts.queries(async () => expect(await parts.signingKeys.find(kid)).toBe(null))).toBe(0)
  }
  expect(await parts.queries(() => parts.signingKeys.find(String(Number(today()) - 5)))).toBe(1)
})

test('a key is kept while its tokens may be valid, and deleted after', async () => {
  const first = await parts.signingKeys.current()
  parts.now += 31 * DAY
  await parts.signingKeys.current()
  expect(await kids()).toContain(first.kid)
  expect((await parts.signingKeys.find(first.kid))?.equals(first.secret)).toBe(true)
  parts.now += DAY
  await parts.signingKeys.current()
  expect(await kids()).not.toContain(first.kid)
  expect(await parts.signingKeys.find(first.kid)).toBe(null)
})
