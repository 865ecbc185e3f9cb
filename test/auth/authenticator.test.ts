import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { AccessTokens } from '../../src/auth/access-tokens.ts'
import type { Owner } from '../../src/auth/accounts.ts'
import { anonymous } from '../../src/auth/authenticator.ts'
import { Grants } from '../../src/auth/grants.ts'
import { Scopes } from '../../src/auth/scopes.ts'
import { Notices } from '../../src/cache/notices.ts'
import { Unauthenticated } from '../../src/errors.ts'
import { AuthParts, basic, PASSWORD } from './auth-parts.ts'

describe('the authenticator', () => {
  let parts: AuthParts
  let ann: Owner
  let token: { row: { id: number }; secret: string }

  beforeAll(async () => {
    parts = await AuthParts.open()
    ann = await parts.user('Ann')
    token = await parts.accessTokens.create(ann, 'laptop', Scopes.parse(['read:package', 'public-only']))
  })
  afterAll(() => parts.close())

  test('no header is anonymous', async () => {
    expect(await parts.authenticator.authenticate(undefined)).toBe(anonymous)
  })

  test('a password signs in without a limit of scope, whatever the case of the name', async () => {
    for (const name of ['Ann', 'ann', 'ANN']) {
      const doer = await parts.authenticator.authenticate(basic(name, PASSWORD))
      expect(doer).toMatchObject({ user: { id: ann.id, name: 'Ann' }, scopes: null, via: 'basic', tokenId: null })
    }
  })

  test('a token keeps its scopes in every carrier', async () => {
    const carriers = [
      [`Bearer ${token.secret}`, 'bearer'],
      [`token ${token.secret}`, 'bearer'],
      [basic('ann', token.secret), 'basic'],
      [basic('somebody-else', token.secret), 'basic'],
      [basic(token.secret, ''), 'basic'],
      [basic(token.secret, 'x-oauth-basic'), 'basic'],
    ] as const
    for (const [header, via] of carriers) {
      const doer = await parts.authenticator.authenticate(header)
      expect([doer.user?.id, doer.via, doer.tokenId]).toEqual([ann.id, via, token.row.id])
      expect(doer.scopes?.toList()).toEqual(['public-only', 'read:package'])
    }
  })

  test.each([
    ['a wrong password', basic('ann', 'wrong horse battery')],
    ['an empty password', basic('ann', '')],
    ['an unknown user', basic('nobody', PASSWORD)],
    ['an impossible user name', basic("a' OR 1=1 --", PASSWORD)],
    ['a very long password', basic('ann', 'x'.repeat(5_000))],
    ['a password as a bearer token', `Bearer ${PASSWORD.replaceAll(' ', '')}`],
    ['an unknown token', `Bearer ${'0'.repeat(40)}`],
    ['an unknown token in Basic', basic('ann', '0'.repeat(40))],
    ['nothing twice', basic('', '')],
  ])('%s is refused', async (_what, header) => {
    await expect(parts.authenticator.authenticate(header)).rejects.toThrow(Unauthenticated)
  })

  test('an unknown user costs as much hashing as a known one', async () => {
    const verify = vi.spyOn(parts.passwords, 'verify')
    for (const name of ['nobody-else', 'ann']) {
      const wrong = basic(name, 'not seen before')
      for (let i = 0; i < 2; i += 1) await expect(parts.authenticator.authenticate(wrong)).rejects.toThrow()
    }
    expect(verify).toHaveBeenCalledTimes(2)
    verify.mockRestore()
  })

  test('warm credentials cost neither SQL nor hashing; neither do the same wrong ones again', async () => {
    await parts.authenticator.authenticate(basic('ann', PASSWORD))
    await parts.authenticator.authenticate(`Bearer ${token.secret}`)
    await parts.accessTokens.close()
    const verify = vi.spyOn(parts.passwords, 'verify')
    const warm = async () => {
      await parts.authenticator.authenticate(basic('ann', PASSWORD))
      await parts.authenticator.authenticate(`Bearer ${token.secret}`)
    }
    expect(await parts.queries(warm)).toBe(0)
    expect(verify).not.toHaveBeenCalled()
    for (let i = 0; i < 2; i += 1) {
      await expect(parts.authenticator.authenticate(basic('ann', 'wronger horse battery'))).rejects.toThrow()
    }
    expect(verify).toHaveBeenCalledTimes(1)
    verify.mockRestore()
  })

  test('parallel first sign-ins share one check', async () => {
    await parts.user('parallel')
    const verify = vi.spyOn(parts.passwords, 'verify')
    await Promise.all(Array.from({ length: 10 }, () => parts.authenticator.authenticate(basic('parallel', PASSWORD))))
    expect(verify).toHaveBeenCalledTimes(1)
    verify.mockRestore()
  })

  test('a changed password counts at once', async () => {
    const bob = await parts.user('bob')
    await parts.authenticator.authenticate(basic('bob', PASSWORD))
    await expect(parts.authenticator.authenticate(basic('bob', 'another horse battery'))).rejects.toThrow()
    await parts.accounts.updateUser(bob, { password: 'another horse battery' })
    await expect(parts.authenticator.authenticate(basic('bob', PASSWORD))).rejects.toThrow(Unauthenticated)
    expect((await parts.authenticator.authenticate(basic('bob', 'another horse battery'))).user?.id).toBe(bob.id)
  })

  test('tokens end with their revocation and with their user', async () => {
    const carl = await parts.user('carl')
    const [one, two] = await Promise.all(
      ['one', 'two'].map((name) => parts.accessTokens.create(carl, name, Scopes.parse(['all']))),
    )
    await parts.authenticator.authenticate(`Bearer ${one!.secret}`)
    await parts.authenticator.authenticate(`Bearer ${two!.secret}`)
    await parts.accessTokens.revoke(one!.row)
    await expect(parts.authenticator.authenticate(`Bearer ${one!.secret}`)).rejects.toThrow(Unauthenticated)
    await parts.accounts.deleteUser(carl)
    await expect(parts.authenticator.authenticate(`Bearer ${two!.secret}`)).rejects.toThrow(Unauthenticated)
    await expect(parts.authenticator.authenticate(basic('carl', PASSWORD))).rejects.toThrow(Unauthenticated)
  })

  test('organizations and mirrors have no password, not even an empty one', async () => {
    await parts.accounts.createOrganization(ann, { username: 'acme' })
    await parts.accounts.ensureMirror('npmjs', '')
    for (const name of ['acme', 'npmjs']) {
      await expect(parts.authenticator.authenticate(basic(name, ''))).rejects.toThrow(Unauthenticated)
    }
  })

  test('a blocked account is told from an unknown one', async () => {
    const dora = await parts.user('dora')
    await parts.accounts.updateUser(dora, { prohibitLogin: true })
    expect((await parts.authenticator.authenticate(basic('dora', PASSWORD))).user?.prohibitLogin).toBe(true)
  })

  test('a registry token leads back to its own user’s credentials only', async () => {
    const claims = { userId: ann.id, tokenId: token.row.id, passwordMark: null, expiresAt: parts.now / 1_000 + 60 }
    const grants = new Grants({ repositories: [], catalog: false })
    const redeem = async (change: object) =>
      parts.registryTokens.redeem(await parts.jwts.sign('access', { ...claims, grants, ...change }))
    expect(await redeem({})).toMatchObject({ user: { id: ann.id }, via: 'bearer', tokenId: token.row.id, grants })
    const other = await parts.user('other')
    for (const change of [{ userId: other.id }, { tokenId: 999 }, { tokenId: null }, { userId: 999, tokenId: null }]) {
      await expect(redeem(change)).rejects.toThrow(Unauthenticated)
    }
  })

  test('errors never repeat the credential', async () => {
    for (const header of [basic('ann', 'canary-password'), `Bearer canary-token`, 'canary']) {
      const error = await parts.authenticator.authenticate(header).catch((failure: unknown) => failure)
      expect(String(error)).not.toContain('canary')
    }
  })
})

test('another replica forgets a revoked token and an old password when it is told, with all that came of them', async () => {
  const notices = new RelayedNotices()
  const parts = await AuthParts.open()
  const replica = await parts.replica(notices)
  const ann = await parts.user('ann')
  const { row, secret } = await parts.accessTokens.create(ann, 'x', Scopes.parse(['all']))
  await replica.authenticator.authenticate(`Bearer ${secret}`)
  await replica.authenticator.authenticate(basic('ann', PASSWORD))
  const grants = new Grants({ repositories: [], catalog: true })
  const doers = [`Bearer ${secret}`, basic('ann', PASSWORD)].map((header) => parts.authenticator.authenticate(header))
  const issued = await Promise.all(doers.map(async (doer) => parts.registryTokens.issue(await doer, grants)))
  for (const { token } of issued) expect((await replica.registryTokens.redeem(token)).user?.id).toBe(ann.id)
  await replica.accessTokens.close()

  await parts.accessTokens.revoke(row)
  await parts.accounts.updateUser(ann, { password: 'another horse battery' })
  expect((await replica.authenticator.authenticate(`Bearer ${secret}`)).user?.id).toBe(ann.id)
  for (const { token } of issued) expect((await replica.registryTokens.redeem(token)).user?.id).toBe(ann.id)
  notices.deliver('cache:access-tokens', row.tokenHash)
  notices.deliver('cache:access-token-ids', String(row.id))
  notices.deliver('cache:accounts', String(ann.id))
  await expect(replica.authenticator.authenticate(`Bearer ${secret}`)).rejects.toThrow(Unauthenticated)
  await expect(replica.authenticator.authenticate(basic('ann', PASSWORD))).rejects.toThrow(Unauthenticated)
  for (const { token } of issued) await expect(replica.registryTokens.redeem(token)).rejects.toThrow(Unauthenticated)
  await replica.db.close()
  await parts.close()
})

test('AccessTokens publishes what it revokes', async () => {
  const parts = await AuthParts.open()
  const notices = new RelayedNotices()
  const { db, models } = parts
  const tokens = new AccessTokens({ db, models, notices, clock: { now: () => 0 }, maxLifetime: 0, onError: () => {} })
  const { row } = await tokens.create(await parts.user('ann'), 'x', Scopes.parse(['all']))
  await tokens.revoke(row)
  expect(notices.published).toContainEqual(['cache:access-tokens', row.tokenHash])
  expect(notices.published).toContainEqual(['cache:access-token-ids', String(row.id)])
  await parts.close()
})

/** Notices without Redis between: what is published is kept, what is delivered is as if another replica sent it. */
class RelayedNotices extends Notices {
  readonly published: [string, string][] = []
  readonly #topics = new Map<string, (key: string) => void>()

  override subscribe(topic: string, listener: (key: string) => void): void {
    super.subscribe(topic, listener)
    this.#topics.set(topic, listener)
  }
  override publish(topic: string, key: string): void {
    this.published.push([topic, key])
  }
  deliver(topic: string, key: string): void {
    this.#topics.get(topic)!(key)
  }
}
