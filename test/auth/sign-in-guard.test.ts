import { beforeEach, describe, expect, test } from 'vitest'
import { SignInGuard } from '../../src/auth/sign-in-guard.ts'
import { Tallies } from '../../src/cache/tallies.ts'
import { TooManyRequests } from '../../src/errors.ts'

const HERE = '192.0.2.1'
const HOUR = 3_600_000

describe('the guard of sign-ins', () => {
  const clock = { time: Date.UTC(2030, 0, 1), now: () => clock.time }
  let tallies: Tallies
  let guard: SignInGuard
  let attempts = 0

  beforeEach(() => {
    tallies = new Tallies({ clock, onError: () => {} })
    guard = newGuard()
  })

  function newGuard(limits = { perAccountAndAddress: 5, perAddress: 20, perAccount: 10 }) {
    return new SignInGuard({ tallies, clock, limits, onRefused: () => {}, onFailed: () => {} })
  }

  /** One wrong attempt: null, or the seconds to wait. */
  async function fail(username: string, address = HERE, credential = `wrong ${attempts}`) {
    attempts += 1
    return attempt(username, address, credential, 'failed')
  }

  async function attempt(username: string, address: string, credential: string, end: 'failed' | 'succeeded') {
    try {
      const admission = await guard.admit({ username, account: null, address, credential })
      await admission[end]()
      return null
    } catch (error) {
      if (error instanceof TooManyRequests) return error.retryAfter
      throw error
    }
  }

  test('after five failures an account waits at this address, longer with each, then at most a quarter of an hour', async () => {
    guard = newGuard({ perAccountAndAddress: 5, perAddress: 100, perAccount: 100 })
    for (let i = 0; i < 5; i += 1) expect(await fail('ann')).toBeNull()
    const waits: number[] = []
    for (let i = 0; i < 9; i += 1) {
      const wait = (await fail('ann'))!
      waits.push(wait)
      // Asking meanwhile makes it no longer.
      expect(await fail('ANN')).toBe(wait)
      clock.time += wait * 1_000 - 1
      expect(await fail('ann')).toBe(1)
      clock.time += 1
      expect(await fail('ann')).toBeNull()
    }
    expect(waits).toEqual([5, 10, 20, 40, 80, 160, 320, 640, 900])
  })

  test('elsewhere the same account, and here another, goes on', async () => {
    for (let i = 0; i < 6; i += 1) await fail('ann')
    expect(await fail('ann')).not.toBeNull()
    expect(await fail('ann', '192.0.2.2')).toBeNull()
    expect(await fail('bob')).toBeNull()
  })

  test('an IPv6 /64 is one address', async () => {
    for (let i = 0; i < 5; i += 1) expect(await fail('ann', `2001:db8::${i}`)).toBeNull()
    expect(await fail('ann', '2001:db8::ffff')).toBe(5)
    expect(await fail('ann', '2001:db8:0:1::1')).toBeNull()
  })

  test('success lets the account begin anew at this address, not the address', async () => {
    guard = newGuard({ perAccountAndAddress: 5, perAddress: 20, perAccount: 100 })
    for (let round = 0; round < 5; round += 1) {
      for (let i = 0; i < 4; i += 1) expect(await fail('ann')).toBeNull()
      if (round < 4) expect(await attempt('ann', HERE, 'right', 'succeeded')).toBeNull()
    }
    expect(await fail('bob')).toBe(5)
  })

  test('many accounts from one address wait together', async () => {
    for (let i = 0; i < 20; i += 1) expect(await fail(`user-${i}`)).toBeNull()
    expect(await fail('another')).toBe(5)
    expect(await fail('another', '192.0.2.2')).toBeNull()
  })

  test('nobody is locked out by others: an attacked account leaves each address one guess', async () => {
    for (let i = 0; i < 10; i += 1) expect(await fail('ann', `198.51.100.${i}`)).toBeNull()
    expect(await attempt('ann', HERE, 'right', 'succeeded')).toBeNull()
    expect(await fail('ann', '192.0.2.9')).toBeNull()
    expect(await fail('ann', '192.0.2.9')).toBe(5)
    clock.time += 5_000
    expect(await attempt('ann', '192.0.2.9', 'right', 'succeeded')).toBeNull()
  })

  test('the same wrong credential from a fleet of jobs counts once, also at once', async () => {
    const fleet = Array.from({ length: 50 }, () => fail('ann', HERE, 'the old password'))
    expect(new Set(await Promise.all(fleet))).toEqual(new Set([null]))
    expect(guard.isKnownWrong('the old password')).toBe(true)
    for (let i = 0; i < 4; i += 1) expect(await fail('ann')).toBeNull()
    expect(await fail('ann')).toBe(5)
  })

  test('guesses do not slip through together', async () => {
    const admissions = await Promise.allSettled(
      Array.from({ length: 30 }, (_, i) =>
        guard.admit({ username: 'ann', account: null, address: HERE, credential: `guess ${i}` }),
      ),
    )
    const admitted = admissions.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    expect(admitted).toHaveLength(5)
    for (const admission of admitted) admission.dropped()
    expect(await fail('ann')).toBeNull()
  })

  test('after an hour all is forgotten; -1 never makes anybody wait', async () => {
    for (let i = 0; i < 6; i += 1) await fail('ann')
    clock.time += HOUR
    expect(await fail('ann')).toBeNull()
    guard = newGuard({ perAccountAndAddress: -1, perAddress: -1, perAccount: -1 })
    for (let i = 0; i < 100; i += 1) expect(await fail('bob')).toBeNull()
  })

  test('wrong tokens count once each for their address, and not as passwords', async () => {
    for (let i = 0; i < 20; i += 1) await guard.wrongToken(`token ${i}`, HERE)
    await guard.wrongToken('token 1', HERE)
    await expect(guard.wrongToken('token 20', HERE)).rejects.toThrow(TooManyRequests)
    await guard.wrongToken('token 21', '192.0.2.2')
    expect(await fail('ann')).toBeNull()
  })

  test('no key tells a name', async () => {
    const seen: string[] = []
    const add = tallies.add.bind(tallies)
    tallies.add = (key, window) => {
      seen.push(key)
      return add(key, window)
    }
    await fail('canary')
    expect(seen).toHaveLength(3)
    expect(seen.join()).not.toContain('canary')
  })
})
