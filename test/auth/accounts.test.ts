import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Conflict, Forbidden, Invalid, Unprocessable } from '../../src/errors.ts'
import { AuthParts, doerOf, PASSWORD } from './auth-parts.ts'

const all = { offset: 0, limit: 50 }

describe('accounts', () => {
  let parts: AuthParts

  beforeAll(async () => {
    parts = await AuthParts.open()
  })
  afterAll(() => parts.close())

  const refusal = (promise: Promise<unknown>) => promise.then(String, (error: Error) => error)

  test('are found in any case, frozen, without the password, and without SQL when warm', async () => {
    const made = await parts.user('Ann')
    const found = await parts.accounts.find('aNN')
    expect(found).toEqual(made)
    expect(Object.isFrozen(found)).toBe(true)
    expect(JSON.stringify(found)).not.toContain('argon2')
    const warm = async () => [await parts.accounts.find('ann'), await parts.accounts.findById(made.id)]
    expect(await parts.queries(warm)).toBe(0)
  })

  test('absence is remembered and ends with the creation', async () => {
    expect(await parts.accounts.find('later')).toBeNull()
    expect(await parts.queries(() => parts.accounts.find('later'))).toBe(0)
    await parts.user('later')
    expect((await parts.accounts.find('later'))?.name).toBe('later')
  })

  test.each(['', '../etc', "x' OR '1'='1", 'x'.repeat(3_000), 'a\0b', '\u212aelvin'])(
    'what no account can be called is not looked up',
    async (name) => {
      expect(await parts.queries(() => parts.accounts.find(name))).toBe(0)
      expect(await parts.accounts.find(name)).toBeNull()
    },
  )

  test('a name is taken in any case and by any kind, an e-mail address by any user', async () => {
    const bob = await parts.user('bob')
    await parts.accounts.createOrganization(bob, { username: 'bobs' })
    const create = (username: string, email: string) =>
      refusal(parts.accounts.createUser({ username, email, password: PASSWORD }))
    expect(await create('BOB', 'x1@example.com')).toBeInstanceOf(Unprocessable)
    expect(await create('Bobs', 'x2@example.com')).toBeInstanceOf(Unprocessable)
    expect(String(await create('robert', 'BOB@example.com'))).toContain('e-mail already in use')
    expect(await create('api', 'x3@example.com')).toBeInstanceOf(Unprocessable)
    expect(await create('fine', 'not an address')).toBeInstanceOf(Unprocessable)
  })

  test('of many who want a name at once one gets it', async () => {
    const asked = await Promise.allSettled(
      [1, 2, 3, 4].map((i) =>
        parts.accounts.createUser({ username: 'race', email: `r${i}@example.com`, password: PASSWORD }),
      ),
    )
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    for (const result of asked) if (result.status === 'rejected') expect(result.reason).toBeInstanceOf(Unprocessable)
  })

  test('changes are seen at once', async () => {
    const dora = await parts.user('dora')
    expect(dora).toMatchObject({ isAdmin: false, isActive: true, visibility: 'public', mustChangePassword: false })
    parts.now += 1_000
    await parts.accounts.updateUser(dora, { fullName: 'Dora', visibility: 'private', isRestricted: true })
    expect(await parts.accounts.find('dora')).toMatchObject({
      fullName: 'Dora',
      visibility: 'private',
      isRestricted: true,
      email: 'dora@example.com',
      updatedAt: parts.now,
      createdAt: dora.createdAt,
    })
    await expect(parts.accounts.updateUser(dora, { email: 'bob@example.com' })).rejects.toThrow(Unprocessable)
    await parts.accounts.updateUser(dora, { email: 'Dora@example.com' })
  })

  test('fields that a caller may not set do not reach the row', async () => {
    const input = { username: 'sly', email: 'sly@example.com', password: PASSWORD, id: 9_999, kind: 'mirror' }
    expect(await parts.accounts.createUser(input)).toMatchObject({ kind: 'user' })
    expect((await parts.accounts.find('sly'))!.id).not.toBe(9_999)
  })

  test('an organization has a team of owners with its creator', async () => {
    const boss = await parts.user('boss')
    await parts.permissions.isOrgOwner(doerOf(boss), boss)
    const org = await parts.accounts.createOrganization(boss, { username: 'Acme', visibility: 'private' })
    expect(org).toMatchObject({ kind: 'organization', lowerName: 'acme', visibility: 'private' })
    expect(await parts.permissions.isOrgOwner(doerOf(boss), org)).toBe(true)
    const may = await parts.accounts.updateUser(boss, { allowCreateOrganization: false })
    await expect(parts.accounts.createOrganization(may, { username: 'second' })).rejects.toThrow(Forbidden)
  })

  test('a mirror is made once, gets its description, and never takes over a name', async () => {
    const made = await parts.accounts.ensureMirror('npmjs', 'one')
    const again = await parts.accounts.ensureMirror('npmjs', 'two')
    expect([again.id, again.kind, again.description]).toEqual([made.id, 'mirror', 'two'])
    expect((await parts.accounts.find('npmjs'))?.description).toBe('two')
    await parts.user('squatter')
    await expect(parts.accounts.ensureMirror('Squatter', '')).rejects.toThrow(Conflict)
    await expect(parts.accounts.ensureMirror('api', '')).rejects.toThrow(Unprocessable)
    const both = await Promise.all([parts.accounts.ensureMirror('maven', ''), parts.accounts.ensureMirror('maven', '')])
    expect(both[0].id).toBe(both[1].id)
  })

  test('the last administrator who can sign in stays one', async () => {
    const first = await parts.user('first-admin', { isAdmin: true })
    for (const changes of [{ isAdmin: false }, { isActive: false }, { prohibitLogin: true }]) {
      await expect(parts.accounts.updateUser(first, changes)).rejects.toThrow(Invalid)
    }
    await expect(parts.accounts.deleteUser(first, async () => {})).rejects.toThrow(Unprocessable)
    const second = await parts.user('second-admin', { isAdmin: true })
    const race = await Promise.allSettled([
      parts.accounts.updateUser(first, { isAdmin: false }),
      parts.accounts.updateUser(second, { isAdmin: false }),
    ])
    expect(race.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  })

  test('an owner of packages is not deleted; without any he is, with everything that was his', async () => {
    const erik = await parts.user('erik')
    const row = { ownerId: erik.id, type: 'generic', name: 'x', lowerName: 'x' }
    const { id: packageId } = await parts.models.package.create(row)
    const version = { packageId, version: '1', lowerVersion: '1', createdAt: 0, metadataJson: 'null' }
    const { id } = await parts.models.packageVersion.create(version)
    await expect(parts.accounts.deleteUser(erik, async () => {})).rejects.toThrow('still owns packages')
    await parts.models.packageVersion.destroy({ where: { id } })
    await parts.accounts.deleteUser(erik)
    expect(await parts.accounts.find('erik')).toBeNull()
    expect(await parts.accounts.findById(erik.id)).toBeNull()
    expect((await parts.user('erik')).id).not.toBe(erik.id)
  })

  test('a member of organizations is deleted only when he may leave them all', async () => {
    const [owner, member] = [await parts.user('org-boss'), await parts.user('member')]
    const org = await parts.accounts.createOrganization(owner, { username: 'leavers' })
    await parts.team(org, 'crew', 'write', [member])
    await expect(parts.accounts.deleteUser(member)).rejects.toThrow('still a member')
    await parts.accounts.deleteUser(member, async () => {})
    await expect(parts.accounts.deleteUser(owner, async () => {})).rejects.toThrow('last owner')
    await parts.accounts.deleteOrganization(org)
    expect(await parts.accounts.find('leavers')).toBeNull()
    expect(await parts.models.team.count({ where: { orgId: org.id } })).toBe(0)
    expect(await parts.models.teamUser.count({ where: { orgId: org.id } })).toBe(0)
    await parts.accounts.deleteUser(owner)
  })
})

describe('lists of accounts', () => {
  let parts: AuthParts

  beforeAll(async () => {
    parts = await AuthParts.open()
    for (const name of ['anna', 'hanna', 'under_score', 'underXscore']) await parts.user(name)
    await parts.user('limited', { visibility: 'limited' })
    await parts.user('private', { visibility: 'private' })
    await parts.user('root', { isAdmin: true })
    await parts.accounts.updateUser((await parts.accounts.find('hanna'))!, { fullName: "Hanna O'100% \\ Backslash" })
  })
  afterAll(() => parts.close())

  const search = async (who: string | null, q: string) => {
    const doer = doerOf(who === null ? null : await parts.accounts.find(who))
    return (await parts.accounts.listing.searchUsers(doer, { q }, all)).rows.map(({ name }) => name)
  }

  test.each([
    ['NNA', ['anna', 'hanna']],
    ['_', ['under_score']],
    ['%', ['hanna']],
    ["o'100", ['hanna']],
    ['\\', ['hanna']],
    ['zzz', []],
  ])('%j is found as it is written', async (q, names) => {
    expect(await search(null, q)).toEqual(names)
  })

  test('everybody finds what he may see', async () => {
    expect(await search(null, 'i')).toEqual([])
    expect(await search('anna', 'i')).toEqual(['limited'])
    expect(await search('private', 'i')).toEqual(['limited', 'private'])
    expect(await search('root', 'i')).toEqual(['limited', 'private'])
  })

  test('administrators filter and sort by what is listed, and page', async () => {
    const { listing } = parts.accounts
    const names = async (...args: Parameters<typeof listing.users>) =>
      (await listing.users(...args)).rows.map(({ name }) => name)
    expect(await names({ isAdmin: true }, all)).toEqual(['root'])
    expect(await names({ visibility: 'private' }, all)).toEqual(['private'])
    expect(await names({ sort: 'id', order: 'desc' }, { offset: 0, limit: 2 })).toEqual(['root', 'private'])
    expect(await names({ q: 'anna' }, { offset: 1, limit: 5 })).toEqual(['hanna'])
    expect((await listing.users({}, { offset: 100, limit: 5 })).total).toBe(7)
  })

  test('memberships are shown to the member, to those who share them, and to administrators', async () => {
    const [anna, hanna, root] = await Promise.all(['anna', 'hanna', 'root'].map((name) => parts.accounts.find(name)))
    await parts.accounts.createOrganization(anna!, { username: 'open' })
    const shared = await parts.accounts.createOrganization(anna!, { username: 'shared', visibility: 'private' })
    await parts.team(shared, 'crew', 'read', [hanna!])
    const of = async (who: typeof anna) =>
      (await parts.accounts.listing.organizationsOf(anna!, doerOf(who ?? null), all)).rows.map(({ name }) => name)
    expect(await of(anna!)).toEqual(['open', 'shared'])
    expect(await of(root!)).toEqual(['open', 'shared'])
    expect(await of(hanna!)).toEqual(['shared'])
    expect(await of(null)).toEqual([])
    const listed = async (who: typeof anna) =>
      (await parts.accounts.listing.organizations(doerOf(who ?? null), all)).rows.map(({ name }) => name)
    expect([await listed(null), await listed(hanna!), await listed(root!)]).toEqual([
      ['open'],
      ['open'],
      ['open', 'shared'],
    ])
  })
})
