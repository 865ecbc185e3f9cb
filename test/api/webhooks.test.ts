import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { publish } from '../support/builders/published-package.ts'
import { FakeUpstream } from '../support/fake-upstream.ts'
import { TestApp } from '../support/test-app.ts'
import { createHook, deliver, lastOf, toLoopback } from '../webhooks/receiver.ts'

let server: TestApp
let receiver: FakeUpstream
let ann: string
let bob: string

beforeAll(async () => {
  server = await TestApp.start({ environment: toLoopback })
  receiver = await FakeUpstream.start()
  receiver.fallback = {}
  ann = await server.createUser('ann')
  bob = await server.createUser('bob')
  await server.createOrganization('acme', ann)
  await server.createOrganization('other', bob)
})
afterAll(async () => {
  await server.close()
  await receiver.close()
})

const url = 'https://ci.example.org/hook'
const minimal = { type: 'gitea', config: { url, content_type: 'json' } }

describe.each([
  ['/orgs/acme/hooks', () => ann],
  ['/user/hooks', () => ann],
  ['/admin/hooks', () => server.admin],
])('%s', (place, caller) => {
  const call = (method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, payload?: object) =>
    server.api(method, `${place}${path}`, payload, caller())
  const create = async (more: object = {}) => {
    const response = await call('POST', '', { ...minimal, ...more })
    expect(response.statusCode, response.body).toBe(201)
    return response.json() as { id: number; [field: string]: unknown }
  }

  test('a hook is made, read, changed and deleted', async () => {
    const hook = await create()
    expect(Object.keys(hook)).toEqual([
      ...['id', 'name', 'type', 'branch_filter', 'config', 'events', 'authorization_header', 'active'],
      ...['updated_at', 'created_at'],
    ])
    expect(hook).toMatchObject({
      ...{ name: '', type: 'gitea', branch_filter: '', config: { url, content_type: 'json' } },
      ...{ events: ['push'], authorization_header: '', active: false },
    })
    const path = `/${hook.id}`
    expect((await call('GET', path)).json()).toEqual(hook)
    const changes = { config: { url: 'http://other.example.org/', content_type: 'form' }, active: true, name: 'mine' }
    const changed = await call('PATCH', path, { ...changes, events: ['package', 'nonsense', 'push'] })
    expect(changed.json()).toMatchObject({ ...changes, events: ['push', 'package'] })
    expect((await call('PATCH', path, {})).json()).toMatchObject({ ...changes, events: ['push'] })
    const listed = await call('GET', place === '/admin/hooks' ? '?type=all' : '')
    expect(listed.json()).toEqual([(await call('GET', path)).json()])
    expect((await call('DELETE', path)).statusCode).toBe(204)
    for (const method of ['GET', 'DELETE'] as const) expect((await call(method, path)).statusCode).toBe(404)
    expect((await call('PATCH', path, {})).statusCode).toBe(404)
    expect((await call('POST', `${path}/tests`)).statusCode).toBe(404)
  })

  test('the secret is never told and cannot be changed, the authorization is told of and can (security.md S19)', async () => {
    const { id, ...hook } = await create({
      config: { ...minimal.config, secret: 'canary-secret' },
      authorization_header: 'Bearer canary-token',
    })
    expect(hook).toMatchObject({ config: { url, content_type: 'json' }, authorization_header: '******' })
    expect(JSON.stringify(hook)).not.toContain('canary')
    const row = await server.services.models.webhook.findByPk(id)
    expect(JSON.stringify(row)).not.toContain('canary')
    const secrets = async () =>
      server.services.webhooks.hooks.openSecrets((await server.services.models.webhook.findByPk(id))!)
    expect(await secrets()).toEqual({ secret: 'canary-secret', authorization: 'Bearer canary-token' })

    const path = `/${id}`
    expect((await call('PATCH', path, { config: { secret: 'another' } })).statusCode).toBe(422)
    const same = { config: { secret: 'canary-secret' }, authorization_header: '******' }
    expect((await call('PATCH', path, same)).json()).toMatchObject({ authorization_header: '******' })
    expect(await secrets()).toEqual({ secret: 'canary-secret', authorization: 'Bearer canary-token' })
    await call('PATCH', path, { authorization_header: 'Basic new' })
    expect((await secrets()).authorization).toBe('Basic new')
    expect((await call('PATCH', path, { active: true })).json()).toMatchObject({ authorization_header: '' })
    expect(await secrets()).toEqual({ secret: 'canary-secret', authorization: '' })
    await call('DELETE', path)
  })

  test.each([
    [{ type: 'slack' }, 'Invalid hook type: slack'],
    [{ type: undefined }, '[Type]: Required'],
    [{ config: undefined }, '[Config]: Required'],
    [{ config: { content_type: 'json' } }, 'Missing config option: url'],
    [{ config: { url } }, 'Missing config option: content_type'],
    [{ config: { url, content_type: 'xml' } }, 'Invalid content type'],
    [{ config: { url: 'ftp://example.org/', content_type: 'json' } }, 'Invalid url'],
    [{ config: { url: '/relative', content_type: 'json' } }, 'Invalid url'],
    [{ config: { url: 'https://u:p@example.org/', content_type: 'json' } }, 'Invalid url: put credentials into'],
    [{ config: { url: 'http://169.254.169.254/latest', content_type: 'json' } }, 'Invalid url: 169.254.169.254 is on'],
    [{ config: { ...minimal.config, username: 'x' } }, '[Config.Username]: unknown field'],
    [{ authorization_header: 'a\r\nX-Evil: 1' }, '[AuthorizationHeader]: has characters'],
    [{ owner_id: 1 }, '[OwnerId]: unknown field'],
  ])('%j is refused (security.md S24)', async (wrong, message) => {
    const response = await call('POST', '', { ...minimal, ...wrong })
    expect(response.statusCode, response.body).toBe(422)
    expect(response.json().message).toContain(message)
  })

  test('a hook of another is none, whatever is tried on it (security.md S13)', async () => {
    const elsewhere = await createHook(server, '/orgs/other/hooks', `${receiver.url}/other`, { authorization: bob })
    await publish(server, { owner: 'other', name: `tool-${elsewhere}`, creator: 'bob' })
    await deliver(server)
    const { uuid } = await lastOf(server, `/orgs/other/hooks/${elsewhere}`)
    const own = (await create()).id
    for (const id of [elsewhere, own]) {
      const deliveries = `/${id}/deliveries`
      const status = id === own ? 200 : 404
      expect((await call('GET', deliveries)).statusCode).toBe(status)
      expect((await call('GET', `${deliveries}/${uuid}`)).statusCode).toBe(404)
      expect((await call('POST', `${deliveries}/${uuid}/redeliver`)).statusCode).toBe(404)
    }
    for (const id of [elsewhere, 'x', '-1', '1e3', '9'.repeat(30)]) {
      expect((await call('GET', `/${id}`)).statusCode).toBe(404)
      expect((await call('PATCH', `/${id}`, { active: true })).statusCode).toBe(404)
      expect((await call('POST', `/${id}/tests`)).statusCode).toBe(404)
      expect((await call('DELETE', `/${id}`)).statusCode).toBe(404)
    }
    await server.api('DELETE', `/orgs/other/hooks/${elsewhere}`)
    await call('DELETE', `/${own}`)
  })

  test('deliveries are listed page by page, newest first', async () => {
    const id = await createHook(server, place, `${receiver.url}/log`, { authorization: caller() })
    for (let count = 0; count < 3; count += 1) expect((await call('POST', `/${id}/tests`)).statusCode).toBe(204)
    await deliver(server)
    const page = await call('GET', `/${id}/deliveries?limit=2`)
    expect(page.headers['x-total-count']).toBe('3')
    expect(page.headers['link']).toContain('page=2')
    const all = [...page.json(), ...(await call('GET', `/${id}/deliveries?limit=2&page=2`)).json()] as object[]
    expect(all).toHaveLength(3)
    expect(all[0]).toMatchObject({ event: 'package', action: 'created', cause: 'test', status: 'delivered' })
    const heard = receiver.asked('/log').map(({ headers }) => headers['x-gitea-delivery'])
    expect(new Set(all.map((delivery) => (delivery as { uuid: string }).uuid))).toEqual(new Set(heard))
    receiver.forget()
    await call('DELETE', `/${id}`)
  })
})

test('lists of hooks are paged, those of the site are not and come by kind', async () => {
  for (let count = 0; count < 3; count += 1) await createHook(server, '/user/hooks', url, { authorization: bob })
  const page = await server.api('GET', '/user/hooks?limit=2', undefined, bob)
  expect(page.json()).toHaveLength(2)
  expect(page.headers['x-total-count']).toBe('3')
  const system = await createHook(server, '/admin/hooks', url, {}, { is_system_webhook: 'true' })
  const standard = await createHook(server, '/admin/hooks', url, {}, { is_system_webhook: 'false' })
  const ids = async (query: string) =>
    ((await server.api('GET', `/admin/hooks${query}`)).json() as { id: number }[]).map(({ id }) => id)
  expect(await ids('')).toEqual([system])
  expect(await ids('?type=default')).toEqual([standard])
  expect(await ids('?type=all&limit=1')).toEqual([system, standard])
  expect((await server.api('GET', '/admin/hooks?type=x')).statusCode).toBe(422)
})

test('only the site’s can be for everything (security.md S23)', async () => {
  const config = { ...minimal.config, is_system_webhook: 'true' }
  for (const place of ['/orgs/acme/hooks', '/user/hooks']) {
    expect((await server.api('POST', place, { ...minimal, config }, ann)).statusCode).toBe(422)
  }
  expect((await server.api('POST', '/admin/hooks', { ...minimal, config }, ann)).statusCode).toBe(403)
})

test('members who do not own the organization see none of its hooks', async () => {
  const team = { name: 'crew', units_map: { 'repo.packages': 'admin' } }
  const { id } = (await server.api('POST', '/orgs/acme/teams', team, ann)).json() as { id: number }
  await server.api('PUT', `/teams/${id}/members/bob`, undefined, ann)
  expect((await server.api('GET', '/orgs/acme/hooks', undefined, bob)).statusCode).toBe(403)
  expect((await server.api('POST', '/orgs/acme/hooks', minimal, bob)).statusCode).toBe(403)
})

test('one owner has fifty hooks at most', async () => {
  await server.createOrganization('many', ann)
  const statuses: number[] = []
  for (let count = 0; count < 52; count += 1) {
    statuses.push((await server.api('POST', '/orgs/many/hooks', minimal, ann)).statusCode)
  }
  expect(statuses).toEqual([...Array(50).fill(201), 422, 422])
})

test('where webhooks are disabled there are none but the site’s, and nothing is stored', async () => {
  const closed = await TestApp.start({ environment: { ...toLoopback, ENTREPOT_WEBHOOKS_ENABLED: 'false' } })
  await closed.createOrganization('acme')
  for (const place of ['/orgs/acme/hooks', '/user/hooks']) {
    expect((await closed.api('GET', place)).statusCode).toBe(403)
    expect((await closed.api('POST', place, minimal)).statusCode).toBe(403)
  }
  await createHook(closed, '/admin/hooks', url, {}, { is_system_webhook: 'true' })
  await publish(closed, { owner: 'acme', name: 'tool', creator: 'root' })
  await closed.services.webhooks.settle()
  expect(await closed.services.models.hookTask.count()).toBe(0)
  await closed.close()
})
