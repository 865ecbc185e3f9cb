import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Owner } from '../../src/auth/accounts.ts'
import type { Doer } from '../../src/auth/authenticator.ts'
import { Permissions } from '../../src/auth/permissions.ts'
import { Scopes } from '../../src/auth/scopes.ts'
import { AuthParts, doerOf } from './auth-parts.ts'

const visibilities = ['public', 'limited', 'private'] as const

/** Rows: who asks. Columns: public, limited and private owner. 0 none, 1 read, 2 write, 3 admin, 4 owner. */
const organizations: Record<string, [number, number, number]> = {
  anonymous: [1, 0, 0],
  stranger: [1, 1, 0],
  restricted: [1, 0, 0],
  'restricted member': [1, 1, 1],
  'member of a team without rights': [1, 1, 1],
  'member of a team with unit write': [2, 2, 2],
  'member of a write team': [2, 2, 2],
  'member of a write team with unit read': [2, 2, 2],
  'member of two teams': [3, 3, 3],
  'org owner': [4, 4, 4],
  'site admin': [4, 4, 4],
  'inactive member': [0, 0, 0],
  'prohibited member': [0, 0, 0],
  'public-only org owner': [4, 0, 0],
}

const users: Record<string, [number, number, number]> = {
  anonymous: [1, 0, 0],
  stranger: [1, 1, 0],
  restricted: [1, 1, 0],
  'site admin': [4, 4, 4],
  'inactive member': [0, 0, 0],
  himself: [4, 4, 4],
  'public-only himself': [4, 0, 0],
}

const mirrors: Record<string, [number, number, number]> = {
  anonymous: [1, 0, 0],
  stranger: [1, 1, 0],
  restricted: [1, 0, 0],
  'org owner': [1, 1, 0],
  'site admin': [4, 4, 4],
  'prohibited member': [0, 0, 0],
}

/** Who reads private packages of organizations, and of users, whatever the visibility of these is. */
const privateOfOrganizations: Record<string, boolean> = {
  anonymous: false,
  stranger: false,
  restricted: false,
  'restricted member': false,
  'member of a team without rights': false,
  'member of a team with unit write': true,
  'member of a write team with unit read': true,
  'member of two teams': true,
  'org owner': true,
  'site admin': true,
  'inactive member': false,
  'prohibited member': false,
  'public-only org owner': false,
}
const privateOfUsers: Record<string, boolean> = {
  anonymous: false,
  stranger: false,
  'site admin': true,
  'inactive member': false,
  himself: true,
  'public-only himself': false,
}

describe('permissions', () => {
  let parts: AuthParts
  const doers = new Map<string, Doer>()
  const owners = new Map<string, Owner>()
  const publicOnly = Scopes.parse(['public-only', 'all'])

  beforeAll(async () => {
    parts = await AuthParts.open()
    const boss = await parts.user('boss')
    const people: Record<string, Owner> = {}
    for (const name of ['stranger', 'none', 'unit', 'writer', 'both', 'two', 'inactive', 'prohibited']) {
      people[name] = await parts.user(name)
    }
    const restricted = await parts.user('restricted', { isRestricted: true })
    const insider = await parts.user('insider', { isRestricted: true })
    const admin = await parts.user('site-admin', { isAdmin: true })
    for (const visibility of visibilities) {
      const org = await parts.accounts.createOrganization(boss, { username: `${visibility}-org`, visibility })
      owners.set(`organization ${visibility}`, org)
      const { none, unit, writer, both, two, inactive, prohibited } = people as Record<string, Owner>
      await parts.team(org, 'nothing', 'none', [none!, insider, two!])
      await parts.team(org, 'unit', 'none', [unit!], 'write')
      await parts.team(org, 'writers', 'write', [writer!, inactive!, prohibited!])
      await parts.team(org, 'both', 'write', [both!], 'read')
      await parts.team(org, 'second', 'read', [two!], 'admin')
      const user = await parts.user(`${visibility}-user`)
      owners.set(`user ${visibility}`, await parts.accounts.updateUser(user, { visibility }))
      const mirror = await parts.accounts.ensureMirror(`${visibility}-mirror`, '')
      owners.set(`mirror ${visibility}`, { ...mirror, visibility })
    }
    doers.set('anonymous', doerOf(null))
    doers.set('stranger', doerOf(people['stranger']!))
    doers.set('restricted', doerOf(restricted))
    doers.set('restricted member', doerOf(insider))
    doers.set('member of a team without rights', doerOf(people['none']!))
    doers.set('member of a team with unit write', doerOf(people['unit']!))
    doers.set('member of a write team', doerOf(people['writer']!))
    doers.set('member of a write team with unit read', doerOf(people['both']!))
    doers.set('member of two teams', doerOf(people['two']!))
    doers.set('org owner', doerOf(boss))
    doers.set('site admin', doerOf(admin))
    doers.set('inactive member', doerOf(await parts.accounts.updateUser(people['inactive']!, { isActive: false })))
    doers.set(
      'prohibited member',
      doerOf(await parts.accounts.updateUser(people['prohibited']!, { prohibitLogin: true })),
    )
    doers.set('public-only org owner', doerOf(boss, publicOnly))
  })
  afterAll(() => parts.close())

  const table = Object.entries({ organization: organizations, user: users, mirror: mirrors }).flatMap(([kind, rows]) =>
    Object.entries(rows).flatMap(([who, modes]) =>
      visibilities.map((visibility, index) => [who, visibility, kind, modes[index]!] as const),
    ),
  )

  const findDoer = (who: string, owner: Owner) =>
    who === 'himself' ? doerOf(owner) : who === 'public-only himself' ? doerOf(owner, publicOnly) : doers.get(who)!

  test.each(table)('%s on a %s %s has mode %i', async (who, visibility, kind, mode) => {
    const owner = owners.get(`${kind} ${visibility}`)!
    expect(await parts.permissions.accessMode(findDoer(who, owner), owner)).toBe(mode)
  })

  const readers = Object.entries({ organization: privateOfOrganizations, user: privateOfUsers }).flatMap(
    ([kind, rows]) => Object.entries(rows).map(([who, reads]) => [who, kind, reads] as const),
  )

  test.each(readers)('%s reads private packages of any %s: %s', async (who, kind, reads) => {
    for (const visibility of visibilities) {
      const owner = owners.get(`${kind} ${visibility}`)!
      expect(await parts.permissions.readsPrivate(findDoer(who, owner), owner)).toBe(reads)
    }
  })

  test.each([
    ['anonymous', [true, false, false]],
    ['stranger', [true, true, false]],
    ['restricted', [true, false, false]],
    ['restricted member', [true, true, true]],
    ['site admin', [true, true, true]],
    ['inactive member', [false, false, false]],
    ['public-only org owner', [true, false, false]],
  ])('%s sees organizations %j', async (who, seen) => {
    const answers = await Promise.all(
      visibilities.map((visibility) =>
        parts.permissions.canSee(doers.get(who)!, owners.get(`organization ${visibility}`)!),
      ),
    )
    expect(answers).toEqual(seen)
  })

  test('a private user is seen by himself and administrators only', async () => {
    const owner = owners.get('user private')!
    expect(await parts.permissions.canSee(doerOf(owner), owner)).toBe(true)
    expect(await parts.permissions.canSee(doers.get('site admin')!, owner)).toBe(true)
    expect(await parts.permissions.canSee(doers.get('stranger')!, owner)).toBe(false)
    expect(await parts.permissions.canSee(doers.get('anonymous')!, owner)).toBe(false)
  })

  test('only members of the owner team and administrators own an organization', async () => {
    const org = owners.get('organization public')!
    const answers = await Promise.all(
      [...doers].map(async ([who, doer]) => [who, await parts.permissions.isOrgOwner(doer, org)]),
    )
    expect(answers.filter(([, is]) => is).map(([who]) => who)).toEqual([
      'org owner',
      'site admin',
      'public-only org owner',
    ])
    expect(await parts.permissions.isOrgOwner(doers.get('site admin')!, owners.get('user public')!)).toBe(false)
  })

  test('warm answers cost no SQL and follow a change of teams', async () => {
    const org = owners.get('organization private')!
    const newcomer = await parts.user('newcomer')
    const doer = doerOf(newcomer)
    expect(await parts.permissions.accessMode(doer, org)).toBe(0)
    expect(await parts.queries(() => parts.permissions.accessMode(doer, org))).toBe(0)
    await parts.team(org, 'late', 'write', [newcomer])
    expect(await parts.permissions.accessMode(doer, org)).toBe(2)
  })

  test('where sign-in is required the anonymous have nothing', async () => {
    const strict = new Permissions(parts.memberships, { requireSignIn: true })
    const org = owners.get('organization public')!
    expect(await strict.accessMode(doers.get('anonymous')!, org)).toBe(0)
    expect(await strict.canSee(doers.get('anonymous')!, org)).toBe(false)
    expect(await strict.accessMode(doers.get('stranger')!, org)).toBe(1)
  })
})
