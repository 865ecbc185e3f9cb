import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Owner } from '../../src/auth/accounts.ts'
import { Grants } from '../../src/auth/grants.ts'
import { SecretUnreadable } from '../../src/auth/secret-box.ts'
import { Conflict, NotFound, TooManyRequests, Unauthenticated, Unprocessable } from '../../src/errors.ts'
import { Phone } from '../support/phone.ts'
import { AuthParts, basic, PASSWORD } from './auth-parts.ts'

const STEP = 30_000
const HOUR = 3_600_000

describe('the second factor of a password', () => {
  let parts: AuthParts
  let ann: Owner
  let phone: Phone
  let recovery: string[]

  beforeEach(async () => {
    parts = await AuthParts.open()
    ann = await parts.user('ann')
    ;({ phone, recovery } = await enable(ann))
  })
  afterEach(() => parts.close())

  async function enable(user: Owner) {
    const { url } = await parts.twoFactor.enrol(user)
    const phone = new Phone(url, { now: () => parts.now })
    const recovery = await parts.twoFactor.confirm(user, phone.code())
    parts.now += STEP
    return { phone, recovery }
  }

  const redeem = async (code: string) => (await parts.twoFactor.redeem(ann.id, code)).outcome
  const signIn = (code: string | null, address = '192.0.2.1') =>
    parts.authenticator.authenticate(basic('ann', PASSWORD), { address, code })

  test('neither the secret nor a recovery code is in the database as it is', async () => {
    const bob = await parts.user('bob')
    const { secret } = await parts.twoFactor.enrol(bob)
    const rows = JSON.stringify(await parts.models.twoFactor.findAll())
    expect(rows).not.toContain(secret)
    for (const code of recovery) expect(rows).not.toContain(code.replaceAll(' ', ''))
  })

  test('a secret that was moved to another account opens nothing', async () => {
    const bob = await parts.user('bob')
    await enable(bob)
    const { sealedSecret } = (await parts.models.twoFactor.findByPk(ann.id))!
    await parts.models.twoFactor.update({ sealedSecret }, { where: { userId: bob.id } })
    await expect(parts.twoFactor.redeem(bob.id, phone.code())).rejects.toThrow(SecretUnreadable)
  })

  test('a code is good once; so are all before it, and none that was used comes back (S20)', async () => {
    const code = phone.code()
    const later = phone.code(1)
    expect(await redeem(code)).toBe('good')
    expect(await redeem(code)).toBe('wrong')
    expect(await redeem(later)).toBe('good')
    expect(await redeem(code)).toBe('wrong')
    parts.now += STEP
    expect(await redeem(later)).toBe('wrong')
    expect(await redeem(phone.code(1))).toBe('good')
  })

  test('the code that confirmed is used up', async () => {
    const bob = await parts.user('bob')
    const { url } = await parts.twoFactor.enrol(bob)
    const code = new Phone(url, { now: () => parts.now }).code()
    await parts.twoFactor.confirm(bob, code)
    expect((await parts.twoFactor.redeem(bob.id, code)).outcome).toBe('wrong')
  })

  test('of parallel sign-ins with one code, on two replicas, exactly one succeeds (S20)', async () => {
    const replica = await parts.replica()
    replica.now = parts.now
    for (const code of [phone.code(), recovery[0]!, phone.wrongCode()]) {
      const header = basic('ann', PASSWORD)
      const attempts = Array.from({ length: 20 }, (_, i) =>
        (i % 2 === 0 ? parts : replica).authenticator.authenticate(header, { address: '192.0.2.1', code }),
      )
      const results = await Promise.allSettled(attempts)
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(code === phone.wrongCode() ? 0 : 1)
      for (const result of results) {
        if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(Unauthenticated)
      }
    }
    // As guesses these were few: the account does not wait.
    expect(await redeem(phone.code(1))).toBe('good')
    await replica.db.close()
  })

  test('each recovery code is good once, however it is typed, for its own user', async () => {
    const bob = await parts.user('bob')
    await enable(bob)
    expect((await parts.twoFactor.redeem(bob.id, recovery[0]!)).outcome).toBe('wrong')
    for (const [index, code] of recovery.entries()) {
      const typed = index % 2 === 0 ? code : code.replaceAll(' ', '')
      expect(await parts.twoFactor.redeem(ann.id, typed)).toEqual({ outcome: 'recovery', left: 9 - index })
      expect(await redeem(code)).toBe('wrong')
    }
    expect(await parts.twoFactor.describe(ann.id)).toMatchObject({ recoveryCodesLeft: 0 })
    // Each of them once more is a wrong code: the account waits.
    expect(await redeem(phone.code())).toBe('refused')
    parts.now += HOUR
    expect(await redeem(phone.code())).toBe('good')
  })

  test('a password alone, or with a code that is wrong, does not sign in, and says that only the code is missing', async () => {
    for (const code of [null, phone.wrongCode(), 'x', recovery[0]!.slice(1), '0'.repeat(100_000)]) {
      const error = await signIn(code).catch((failure: unknown) => failure)
      expect(error).toBeInstanceOf(Unauthenticated)
      expect((error as Unauthenticated).subject).toBe('one-time-code')
    }
    expect(await signIn(phone.code())).toMatchObject({
      user: { id: ann.id },
      via: 'basic',
      hasCode: true,
      scopes: null,
    })
  })

  test('with a wrong password the code is not looked at, and nothing tells that there is one', async () => {
    const code = phone.code()
    const attempt = (name: string, proof: string | null) =>
      parts.authenticator
        .authenticate(basic(name, 'wrong horse battery'), { address: '192.0.2.1', code: proof })
        .catch((failure: Unauthenticated) => [failure.subject, failure.message])
    await parts.user('bob')
    const answer = await attempt('bob', null)
    expect(await attempt('ann', null)).toEqual(answer)
    expect(await attempt('ann', code)).toEqual(answer)
    expect((await signIn(code)).hasCode).toBe(true)
  })

  test('missing codes are no failures; the same wrong one counts once in its half minute', async () => {
    for (let i = 0; i < 50; i += 1) await expect(signIn(null)).rejects.toThrow(Unauthenticated)
    const wrong = phone.wrongCode()
    for (let i = 0; i < 50; i += 1) await expect(signIn(wrong)).rejects.toThrow(Unauthenticated)
    expect((await signIn(phone.code())).hasCode).toBe(true)
  })

  test('guesses from one address wait after five, and a right password in between changes nothing', async () => {
    for (let i = 0; i < 5; i += 1) {
      await expect(signIn(phone.wrongCode(i))).rejects.toThrow(Unauthenticated)
      await expect(signIn(null)).rejects.toThrow(Unauthenticated)
    }
    await expect(signIn(phone.wrongCode(6))).rejects.toThrow(TooManyRequests)
    await expect(signIn(phone.code())).rejects.toThrow(TooManyRequests)
    // Elsewhere the user goes on.
    expect((await signIn(phone.code(), '198.51.100.1')).hasCode).toBe(true)
  })

  test('who knows the password and has a thousand addresses and two replicas guesses ten times, then once an hour', async () => {
    const replica = await parts.replica()
    const guess = async (i: number) => {
      replica.now = parts.now
      const { authenticator } = i % 2 === 0 ? parts : replica
      const proof = { address: `2001:db8:0:${i.toString(16)}::1`, code: phone.wrongCode(i) }
      return authenticator.authenticate(basic('ann', PASSWORD), proof).catch((error: unknown) => error)
    }
    const first = await Promise.all(Array.from({ length: 40 }, (_, i) => guess(i)))
    expect(first.filter((error) => error instanceof Unauthenticated)).toHaveLength(10)
    expect(first.filter((error) => error instanceof TooManyRequests)).toHaveLength(30)
    // Not even the right one is looked at: its being refused tells nothing.
    await expect(signIn(phone.code(), '198.51.100.1')).rejects.toThrow(TooManyRequests)
    let looked = 0
    for (let i = 0; i < 24; i += 1) {
      parts.now += HOUR / 2
      for (const offset of [0, 1, 2]) if ((await guess(100 + 3 * i + offset)) instanceof Unauthenticated) looked += 1
    }
    expect(looked).toBe(12)
    parts.now += HOUR
    expect((await signIn(phone.code(), '198.51.100.1')).hasCode).toBe(true)
    await replica.db.close()
  })

  test('a clock that was wrong for a while locks nobody out for longer than the penalty', async () => {
    await parts.models.twoFactor.update({ penaltyUntil: parts.now + 1_000 * HOUR }, { where: { userId: ann.id } })
    expect(await parts.twoFactor.redeem(ann.id, phone.code())).toEqual({ outcome: 'refused', wait: HOUR })
  })

  test('an unconfirmed secret changes nothing, can be replaced, and is confirmed by its own code only', async () => {
    const bob = await parts.user('bob')
    const now = { now: () => parts.now }
    await expect(parts.twoFactor.confirm(bob, '123456')).rejects.toThrow(Unprocessable)
    const first = new Phone((await parts.twoFactor.enrol(bob)).url, now)
    const second = new Phone((await parts.twoFactor.enrol(bob)).url, now)
    expect(await parts.authenticator.authenticate(basic('bob', PASSWORD))).toMatchObject({ hasCode: false })
    expect(await parts.twoFactor.redeem(bob.id, second.code())).toEqual({ outcome: 'not-needed' })
    for (const code of [first.code(), second.wrongCode(), recovery[0]!, '']) {
      await expect(parts.twoFactor.confirm(bob, code)).rejects.toThrow(Unprocessable)
    }
    await parts.twoFactor.confirm(bob, second.code())
    await expect(parts.authenticator.authenticate(basic('bob', PASSWORD))).rejects.toThrow(Unauthenticated)
    await expect(parts.twoFactor.enrol(bob)).rejects.toThrow(Conflict)
    await expect(parts.twoFactor.confirm(bob, second.code(1))).rejects.toThrow(Conflict)
  })

  test('of parallel confirmations one has the recovery codes that count', async () => {
    const bob = await parts.user('bob')
    const bobs = new Phone((await parts.twoFactor.enrol(bob)).url, { now: () => parts.now })
    const code = bobs.code()
    const results = await Promise.allSettled(Array.from({ length: 5 }, () => parts.twoFactor.confirm(bob, code)))
    const [won, ...others] = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    expect(others).toEqual([])
    expect(await parts.twoFactor.redeem(bob.id, won![0]!)).toMatchObject({ outcome: 'recovery' })
  })

  test('who has not shown a code does not remove what is confirmed', async () => {
    await expect(parts.twoFactor.remove(ann.id, { hasCode: false })).rejects.toThrow(Unauthenticated)
    expect(await parts.twoFactor.remove(ann.id, { hasCode: true })).toBe(true)
    expect(await parts.twoFactor.remove(ann.id, { hasCode: true })).toBe(false)
    expect(await signIn(null)).toMatchObject({ user: { id: ann.id }, hasCode: false })
    const bob = await parts.user('bob')
    await parts.twoFactor.enrol(bob)
    expect(await parts.twoFactor.remove(bob.id, { hasCode: false })).toBe(true)
  })

  test('another password keeps the codes, the end of the account ends them', async () => {
    await parts.accounts.updateUser(ann, { password: 'another horse battery' })
    const header = basic('ann', 'another horse battery')
    await expect(parts.authenticator.authenticate(header)).rejects.toThrow('one-time code')
    expect((await parts.authenticator.authenticate(header, { code: phone.code() })).hasCode).toBe(true)
    await parts.accounts.deleteUser(ann)
    expect(await parts.models.twoFactor.count()).toBe(0)
    await expect(parts.twoFactor.enrol(ann)).rejects.toThrow(NotFound)
    expect(await parts.models.twoFactor.count()).toBe(0)
  })

  test('registry tokens that were made with the password alone end when codes are needed, and back (S8)', async () => {
    const bob = await parts.user('bob')
    const grants = new Grants({ repositories: [], catalog: true })
    const alone = await parts.authenticator.authenticate(basic('bob', PASSWORD))
    const [{ token }, refresh] = [
      await parts.registryTokens.issue(alone, grants),
      await parts.registryTokens.issueRefresh(alone),
    ]
    expect((await parts.registryTokens.redeem(token)).user?.id).toBe(bob.id)
    const { phone: bobs } = await enable(bob)
    await expect(parts.registryTokens.redeem(token)).rejects.toThrow(Unauthenticated)
    await expect(parts.registryTokens.redeemRefresh(refresh)).rejects.toThrow(Unauthenticated)
    const both = await parts.authenticator.authenticate(basic('bob', PASSWORD), { code: bobs.code() })
    const again = await parts.registryTokens.issueRefresh(both)
    expect((await parts.registryTokens.redeemRefresh(again)).doer.user?.id).toBe(bob.id)
    await parts.twoFactor.remove(bob.id, { hasCode: true })
    await expect(parts.registryTokens.redeemRefresh(again)).rejects.toThrow(Unauthenticated)
  })

  test('who signs in without codes costs no SQL for that when warm', async () => {
    await parts.user('bob')
    await parts.authenticator.authenticate(basic('bob', PASSWORD))
    const warm = () => parts.authenticator.authenticate(basic('bob', PASSWORD), { code: '123456' })
    expect(await parts.queries(warm)).toBe(0)
  })

  test('a replica that has not heard yet lets the password in for a while, but does not let it remove the codes', async () => {
    const replica = await parts.replica()
    replica.now = parts.now
    const bob = await parts.user('bob')
    await replica.authenticator.authenticate(basic('bob', PASSWORD))
    await enable(bob)
    const doer = await replica.authenticator.authenticate(basic('bob', PASSWORD))
    await expect(replica.twoFactor.remove(bob.id, doer)).rejects.toThrow(Unauthenticated)
    await replica.db.close()
  })

  test('no error repeats a code', async () => {
    for (const code of ['canary-code', phone.wrongCode(7)]) {
      const error = await signIn(code).catch((failure: unknown) => failure)
      expect(String(error)).not.toContain(code)
    }
  })
})
