import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'

const issuer = 'https://issuer.example.org'
const minimal = { name: 'release', issuer, claims: { sub: 'job' } }

let server: TestApp
let ann: string
let bob: string

beforeAll(async () => {
  server = await TestApp.start()
  ann = await server.createUser('ann')
  bob = await server.createUser('bob')
  await server.createOrganization('acme', ann)
  await server.createOrganization('other', bob)
})
afterAll(() => server.close())

describe.each(['/orgs/acme/trusted_publishers', '/user/trusted_publishers'])('%s', (place) => {
  const call = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, payload?: object, caller = ann) =>
    server.api(method, `${place}${path}`, payload, caller)

  test('a publisher is made, read, changed and deleted', async () => {
    const made = await call('POST', '', minimal)
    expect(made.statusCode, made.body).toBe(201)
    const { id, created_at: createdAt, ...shown } = made.json() as Record<string, unknown>
    expect(shown).toEqual({
      ...minimal,
      packages: null,
      lifetime: 900,
      created_by: 'ann',
      last_used_at: '0001-01-01T00:00:00Z',
    })
    expect(createdAt).toMatch(/^\d{4}-/)
    const path = `/${id}`
    expect((await call('GET', path)).json()).toEqual(made.json())
    const listed = await call('GET', '')
    expect(listed.json()).toEqual([made.json()])
    expect(listed.headers['x-total-count']).toBe('1')
    const changes = {
      ...{ name: 'other', claims: { repository: ['acme/a', 'acme/b'] }, lifetime: 60 },
      packages: [{ type: 'npm', name: '@acme/*' }],
    }
    expect((await call('PATCH', path, changes)).json()).toEqual({ ...(made.json() as object), ...changes })
    expect((await call('PATCH', path, {})).json()).toMatchObject(changes)
    expect((await call('PATCH', path, { packages: null, name: null })).json()).toMatchObject({
      ...changes,
      packages: null,
    })
    expect((await call('DELETE', path)).statusCode).toBe(204)
    for (const method of ['GET', 'DELETE'] as const) expect((await call(method, path)).statusCode).toBe(404)
    expect((await call('PATCH', path, {})).statusCode).toBe(404)
  })

  test.each<[object, string]>([
    [{ name: '' }, '[Name]'],
    [{ name: 'a\0b' }, '[Name]'],
    [{ name: 'x'.repeat(101) }, '[Name]'],
    [{ name: undefined }, '[Name]'],
    [{ issuer: 'http://issuer.example.org' }, '[Issuer]'],
    [{ issuer: 'nonsense' }, '[Issuer]'],
    [{ claims: {} }, '[Claims]'],
    [{ claims: { sub: '*' } }, '[Claims]'],
    [{ claims: { sub: '' } }, '[Claims'],
    [{ claims: { sub: [] } }, '[Claims'],
    [{ claims: { sub: 7 } }, '[Claims'],
    [{ claims: { sub: 'a\0b' } }, '[Claims'],
    [{ claims: { sub: 'x', aud: 'y' } }, '[Claims]'],
    [{ issuer: 'https://token.actions.githubusercontent.com', claims: { ref: 'main' } }, "everybody's"],
    [{ lifetime: 59 }, '[Lifetime]'],
    [{ lifetime: 3_601 }, '[Lifetime]'],
    [{ lifetime: 60.5 }, '[Lifetime]'],
    [{ packages: [] }, '[Packages]'],
    [{ packages: [{ type: 'npm', name: '****' }] }, 'pattern'],
    [{ packages: [{ type: 'npm', name: 'a b' }] }, 'pattern'],
    [{ packages: [{ type: 'NPM', name: 'a' }] }, '[Packages'],
    [{ packages: [{ type: 'npm', name: 'a', owner: 'other' }] }, 'unknown field'],
    [{ owner_id: 1 }, 'unknown field'],
    [{ created_by: 'bob' }, 'unknown field'],
  ])('%j is refused', async (fields, reason) => {
    const payload = Object.fromEntries(
      Object.entries({ ...minimal, ...fields }).filter(([, value]) => value !== undefined),
    )
    const response = await call('POST', '', payload)
    expect(response.statusCode).toBe(422)
    expect(response.json()).toMatchObject({ message: expect.stringContaining(reason) })
  })

  test('no two of an owner have one name; ids of another place are none (security.md S13)', async () => {
    const { id } = (await call('POST', '', minimal)).json() as { id: number }
    expect((await call('POST', '', minimal)).statusCode).toBe(422)
    const second = (await call('POST', '', { ...minimal, name: 'second' })).json() as { id: number }
    expect((await call('PATCH', `/${second.id}`, { name: 'release' })).statusCode).toBe(422)
    expect((await call('PATCH', `/${second.id}`, { name: 'second' })).statusCode).toBe(200)
    for (const elsewhere of ['/orgs/other/trusted_publishers', '/user/trusted_publishers']) {
      for (const [method, payload] of [['GET'], ['PATCH', { name: 'stolen' }], ['DELETE']] as const) {
        expect((await server.api(method, `${elsewhere}/${id}`, payload, bob)).statusCode).toBe(404)
      }
    }
    for (const odd of ['0', '-1', '1e3', 'x', '99999999999999999999', `${id}%00`]) {
      expect((await call('GET', `/${odd}`)).statusCode).toBe(404)
    }
    for (const each of [id, second.id]) expect((await call('DELETE', `/${each}`)).statusCode).toBe(204)
  })

  test('a token needs the right to write packages too, and what it makes must not outlive it (security.md S8)', async () => {
    const ofPlace = place.startsWith('/user') ? 'write:user' : 'write:organization'
    const token = async (more: object) => {
      const payload = { name: `t${Math.random()}`, ...more }
      const response = await server.api('POST', '/users/ann/tokens', payload, ann)
      return `token ${(response.json() as { sha1: string }).sha1}`
    }
    const make = async (scopes: string[], more: object = {}) => {
      const response = await call(
        'POST',
        '',
        { ...minimal, name: `n${Math.random()}` },
        await token({ scopes, ...more }),
      )
      if (response.statusCode === 201) await call('DELETE', `/${(response.json() as { id: number }).id}`)
      return response.statusCode
    }
    expect(await make([ofPlace, 'write:package'])).toBe(201)
    expect(await make([ofPlace])).toBe(403)
    expect(await make([ofPlace, 'read:package'])).toBe(403)
    expect(await make(['write:package'])).toBe(403)
    expect(await make(['all', 'public-only'])).toBe(403)
    expect(await make(['all'], { restrictions: { owners: ['acme', 'ann'] } })).toBe(403)
    const end = new Date(server.clock.now() + 86_400_000).toISOString()
    expect(await make(['all'], { expires_at: end })).toBe(place.startsWith('/user') ? 403 : 201)
  })

  test('there are fifty at most', async () => {
    const ids: number[] = []
    for (let count = 0; count < 50; count += 1) {
      ids.push(((await call('POST', '', { ...minimal, name: `p${count}` })).json() as { id: number }).id)
    }
    expect((await call('POST', '', { ...minimal, name: 'p50' })).statusCode).toBe(422)
    const page = await call('GET', '?page=2&limit=20')
    expect((page.json() as { id: number }[]).map(({ id }) => id)).toEqual(ids.slice(20, 40))
    expect(page.headers['x-total-count']).toBe('50')
    for (const id of ids) await call('DELETE', `/${id}`)
  })

  test('changes are in the audit log', async () => {
    const { id } = (await call('POST', '', { ...minimal, name: 'audited' })).json() as { id: number }
    await call('PATCH', `/${id}`, { lifetime: 120 })
    await call('DELETE', `/${id}`)
    await server.services.audit.settle()
    const rows = await server.services.models.auditEvent.findAll({ order: [['id', 'DESC']], limit: 3 })
    expect(rows.map(({ action }) => action)).toEqual([
      'trusted-publisher.deleted',
      'trusted-publisher.updated',
      'trusted-publisher.created',
    ])
    const [, updated, created] = rows
    expect(JSON.parse(updated!.details)).toMatchObject({ publisher: String(id), to: { lifetime: 120 } })
    expect(JSON.parse(created!.details)).toMatchObject({ id, to: { name: 'audited', issuer, claims: { sub: 'job' } } })
    expect(created!.name).toBe('audited')
    expect(created!.ownerName).toBe(place.startsWith('/user') ? 'ann' : 'acme')
  })
})

test('mirrors trust nobody, and members of an organization who do not own it neither', async () => {
  const team = { name: 'writers', units_map: { 'repo.packages': 'write' } }
  const { id } = (await server.api('POST', '/orgs/acme/teams', team, ann)).json() as { id: number }
  await server.api('PUT', `/teams/${id}/members/bob`, undefined, ann)
  expect((await server.api('GET', '/orgs/acme/trusted_publishers', undefined, bob)).statusCode).toBe(403)
  expect((await server.api('POST', '/orgs/acme/trusted_publishers', minimal, bob)).statusCode).toBe(403)
  await server.services.accounts.ensureMirror('upstream.example.org', '')
  const path = '/orgs/upstream.example.org/trusted_publishers'
  expect((await server.api('POST', path, minimal)).statusCode).toBe(404)
})
