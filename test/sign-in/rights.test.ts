import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { SignInSite } from './sign-in-site.ts'

/** What groups of an identity provider give and take. */
describe('rights by groups', () => {
  let site: SignInSite

  beforeAll(async () => {
    site = await SignInSite.start({
      provider: {
        adminGroups: ['site-admins'],
        requiredGroups: ['staff', 'site-admins'],
        teams: { 'group-a': ['acme/readers'], 'group-b': ['acme/writers', 'ACME/Owners', 'acme/nowhere', 'gone/x'] },
      },
    })
    await site.app.createOrganization('acme', site.app.admin, 'private')
    for (const [name, permission] of [
      ['readers', 'read'],
      ['writers', 'write'],
      ['by-hand', 'read'],
    ] as const) {
      const units_map = { 'repo.packages': permission }
      const team = await site.app.api('POST', '/orgs/acme/teams', { name, permission, units_map })
      expect(team.statusCode).toBe(201)
    }
  })

  afterAll(async () => {
    await site.close()
  })

  const upload = async (secret: string, name: string): Promise<number> => {
    const url = `/api/packages/acme/generic/${name}/1.0.0/file`
    const headers = { authorization: `Bearer ${secret}` }
    return (await site.app.inject({ method: 'PUT', url, headers, payload: 'bytes' })).statusCode
  }
  const readsOrg = async (secret: string) =>
    (await site.app.api('GET', '/orgs/acme', undefined, `token ${secret}`)).statusCode
  const teamsOf = async (secret: string): Promise<string[]> => {
    const teams = (await site.app.api('GET', '/user/teams', undefined, `token ${secret}`)).json() as { name: string }[]
    return teams.map(({ name }) => name).sort()
  }

  test('rights of a group that is lost are gone, in tokens that live on too (S12)', async () => {
    const claims = { preferred_username: 'ann', groups: ['staff', 'group-a', 'group-b'] }
    const secret = await site.makeToken('sub-ann', claims)
    expect(await teamsOf(secret)).toEqual(['Owners', 'readers', 'writers'])
    expect(await upload(secret, 'one')).toBe(201)

    await site.signIn('sub-ann', { ...claims, groups: ['staff', 'group-a'] })
    expect(await teamsOf(secret)).toEqual(['readers'])
    expect(await readsOrg(secret)).toBe(200)
    expect(await upload(secret, 'two')).toBe(401)

    await site.signIn('sub-ann', { preferred_username: 'ann', groups: 'staff' })
    expect(await teamsOf(secret)).toEqual([])
    expect(await readsOrg(secret)).toBe(404)

    await site.app.services.audit.settle()
    const events = (await site.app.api('GET', '/admin/audit?owner=acme')).json() as { action: string; actor: unknown }[]
    const ofTeams = events.filter(({ action }) => action.startsWith('team.member.'))
    expect(ofTeams.map(({ action }) => action).sort()).toEqual([
      ...Array(3).fill('team.member.added'),
      ...Array(3).fill('team.member.removed'),
    ])
    expect(ofTeams[0]).toMatchObject({ actor: { login: 'ann' }, details: { username: 'ann', provider: 'corp' } })
  })

  test('who is in no required group any more is refused, and has lost his teams (S12)', async () => {
    const secret = await site.makeToken('sub-ben', { preferred_username: 'ben', groups: ['staff', 'group-a'] })
    expect(await teamsOf(secret)).toEqual(['readers'])
    const refused = await site.signIn('sub-ben', { preferred_username: 'ben' })
    expect(refused.status).toBe(403)
    expect(await teamsOf(secret)).toEqual([])
  })

  test('who is in no required group gets no account', async () => {
    expect((await site.signIn('sub-out', { preferred_username: 'out', groups: ['others'] })).status).toBe(403)
    expect(
      (await site.signIn('sub-odd', { preferred_username: 'odd', groups: [{ a: 'staff' }, 7, null] })).status,
    ).toBe(403)
    expect(await site.app.services.accounts.find('out')).toBeNull()
    expect(await site.app.services.accounts.find('odd')).toBeNull()
  })

  test('teams that the configuration does not name stay as they are', async () => {
    const claims = { preferred_username: 'cat', groups: ['staff', 'group-a'] }
    const secret = await site.makeToken('sub-cat', claims)
    const teams = (await site.app.api('GET', '/orgs/acme/teams')).json() as { id: number; name: string }[]
    const { id } = teams.find(({ name }) => name === 'by-hand')!
    expect((await site.app.api('PUT', `/teams/${id}/members/cat`)).statusCode).toBe(204)
    await site.signIn('sub-cat', { ...claims, groups: ['staff'] })
    expect(await teamsOf(secret)).toEqual(['by-hand'])
  })

  test('administrators come and go with their group, but for the last one', async () => {
    const claims = { preferred_username: 'dan', groups: ['site-admins'] }
    const secret = await site.makeToken('sub-dan', claims)
    const isAdmin = async () => (await site.app.api('GET', '/admin/users', undefined, `token ${secret}`)).statusCode
    expect(await isAdmin()).toBe(200)
    await site.signIn('sub-dan', { ...claims, groups: ['staff'] })
    expect(await isAdmin()).toBe(403)

    expect(
      (await site.app.api('POST', '/admin/users/root/identities', { provider: 'corp', subject: 'sub-root' }))
        .statusCode,
    ).toBe(201)
    const page = await site.signIn('sub-root', { groups: ['staff'] })
    expect(page.body).toContain('signed in as <strong>root</strong>')
    expect((await site.app.services.accounts.find('root'))?.isAdmin).toBe(true)
  })

  test('the last owner of an organization stays', async () => {
    await site.app.createUser('sole')
    const groups = ['staff', 'group-b']
    await site.app.api('POST', '/admin/users/sole/identities', { provider: 'corp', subject: 'sub-sole' })
    const secret = await site.makeToken('sub-sole', { groups })
    const teams = (await site.app.api('GET', '/orgs/acme/teams')).json() as { id: number; name: string }[]
    const { id } = teams.find(({ name }) => name === 'Owners')!
    expect((await site.app.api('DELETE', `/teams/${id}/members/root`)).statusCode).toBe(204)
    expect((await site.signIn('sub-sole', { groups: ['staff'] })).status).toBe(200)
    expect(await teamsOf(secret)).toEqual(['Owners'])
    expect((await site.app.api('PUT', `/teams/${id}/members/root`)).statusCode).toBe(204)
  })
})
