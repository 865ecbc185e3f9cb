import { describe, expect, test } from 'vitest'
import { Passwords } from '../../src/auth/passwords.ts'
import { Overloaded } from '../../src/errors.ts'

describe('passwords', () => {
  test('the right one matches, another and the empty one do not', async () => {
    const passwords = new Passwords()
    const stored = await passwords.hash('correct horse')
    expect(stored).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/)
    expect(await passwords.verify(stored, 'correct horse')).toBe(true)
    expect(await passwords.verify(stored, 'correct horsf')).toBe(false)
    expect(await passwords.verify(stored, '')).toBe(false)
  })

  test('no stored hash matches nothing, not even the decoy behind it', async () => {
    expect(await new Passwords().verify('', 'a password that nobody has')).toBe(false)
    expect(await new Passwords().verify('', '')).toBe(false)
  })

  test('a flood is refused beyond the queue, and the queue drains', async () => {
    const passwords = new Passwords()
    const stored = await passwords.hash('correct horse')
    const results = await Promise.allSettled(
      Array.from({ length: 260 }, () => passwords.verify(stored, 'correct horse')),
    )
    const refused = results.filter((result) => result.status === 'rejected')
    expect(refused).toHaveLength(260 - 202)
    expect(refused[0]!.reason).toBeInstanceOf(Overloaded)
    expect(await passwords.verify(stored, 'correct horse')).toBe(true)
  }, 60_000)

  test('a broken stored hash fails without blocking the next', async () => {
    const passwords = new Passwords()
    for (let i = 0; i < 4; i += 1) await expect(passwords.verify('$argon2id$broken', 'x')).rejects.toThrow()
    expect(await passwords.verify(await passwords.hash('x'), 'x')).toBe(true)
  })
})
