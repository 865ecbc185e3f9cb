import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { publish } from '../support/builders/published-package.ts'
import { FakeUpstream } from '../support/fake-upstream.ts'
import { TestApp } from '../support/test-app.ts'
import { createHook, deliver, heardBy, toLoopback } from './receiver.ts'

let server: TestApp
let receiver: FakeUpstream
let ann: string

beforeAll(async () => {
  server = await TestApp.start({ environment: { ...toLoopback, ENTREPOT_BASE_URL: 'https://packages.example.org' } })
  receiver = await FakeUpstream.start()
  receiver.fallback = { status: 204 }
  ann = await server.createUser('ann')
  await server.createOrganization('acme', ann, 'private')
  await server.api('PATCH', '/orgs/acme', { description: 'We make <things> & more', email: 'all@acme.example' }, ann)
})
afterAll(async () => {
  await server.close()
  await receiver.close()
})
beforeEach(() => receiver.forget())

describe('a delivery', () => {
  test('is what Gitea sends, byte for byte as it is signed', async () => {
    const config = { secret: 'öffne dich' }
    const id = await createHook(server, '/orgs/acme/hooks', `${receiver.url}/hook`, { authorization: ann }, config)
    const { version } = await publish(server, { owner: 'acme', name: 'Tool', creator: 'ann' })
    await deliver(server)
    const [request] = receiver.asked('/hook')
    const { body, headers, method } = request!
    const hex = (algorithm: string) => createHmac(algorithm, config.secret).update(body).digest('hex')
    expect(method).toBe('POST')
    const [delivery] = (await server.api('GET', `/orgs/acme/hooks/${id}/deliveries`)).json() as { uuid: string }[]
    expect(delivery!.uuid).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'x-gitea-delivery': delivery!.uuid,
      'x-gogs-delivery': delivery!.uuid,
      'x-github-delivery': delivery!.uuid,
      'x-gitea-event': 'package',
      'x-gitea-event-type': 'package',
      'x-gitea-signature': hex('sha256'),
      'x-gogs-signature': hex('sha256'),
      'x-hub-signature-256': `sha256=${hex('sha256')}`,
      'x-hub-signature': `sha1=${hex('sha1')}`,
      'x-gitea-hook-installation-target-type': 'organization',
      'x-github-hook-installation-target-type': 'organization',
    })
    expect(headers).not.toHaveProperty('authorization')
    const text = body.toString()
    const payload = JSON.parse(text)
    expect(text).toBe(JSON.stringify(payload, null, 2))
    expect(Object.keys(payload)).toEqual(['action', 'repository', 'package', 'organization', 'sender'])
    const shown = (await server.api('GET', '/packages/acme/generic/Tool/1.0.0', undefined, ann)).json()
    expect(payload).toMatchObject({ action: 'created', repository: null, package: shown })
    expect(payload.package).toMatchObject({ id: version.id, name: 'Tool', creator: { email: 'ann@example.org' } })
    expect(payload.organization).toEqual({
      ...(await server.api('GET', '/orgs/acme', undefined, ann)).json(),
      // Who is not signed in does not see it.
      email: '',
    })
    const never = '0001-01-01T00:00:00Z'
    expect(payload.sender).toMatchObject({ login: 'ann', email: 'ann@noreply.packages.example.org', last_login: never })
    expect(payload.sender.active).toBe(false)
    await server.api('DELETE', `/orgs/acme/hooks/${id}`, undefined, ann)
  })

  test('as a form carries the JSON that is signed, and the hook’s authorization', async () => {
    const place = '/user/hooks'
    const more = { authorization: ann, authorization_header: 'Bearer abc' }
    const config = { secret: 'x', content_type: 'form' }
    const id = await createHook(server, place, `${receiver.url}/form`, more, config)
    await publish(server, { owner: 'ann', name: 'tool' })
    await deliver(server)
    const { body, headers } = receiver.asked('/form')[0]!
    const json = new URLSearchParams(body.toString()).get('payload')!
    expect(headers).toMatchObject({
      'content-type': 'application/x-www-form-urlencoded',
      authorization: 'Bearer abc',
      'x-gitea-signature': createHmac('sha256', 'x').update(json).digest('hex'),
      'x-gitea-hook-installation-target-type': 'user',
    })
    expect(JSON.parse(json)).toMatchObject({ organization: null, package: { owner: { login: 'ann' } } })
    await server.api('DELETE', `${place}/${id}`, undefined, ann)
  })

  test('tells of what is gone as it was, and who removed it', async () => {
    const id = await createHook(server, '/orgs/acme/hooks', `${receiver.url}/hook`, { authorization: ann })
    const { version } = await publish(server, { owner: 'acme', name: 'short', creator: 'ann' })
    await server.api('DELETE', '/packages/acme/generic/short/1.0.0')
    await deliver(server)
    expect(heardBy(receiver).sort()).toEqual(['created acme/short 1.0.0', 'deleted acme/short 1.0.0'])
    const [deleted] = receiver
      .asked('/hook')
      .map(({ body }) => JSON.parse(body.toString()))
      .filter(({ action }) => action === 'deleted')
    expect(deleted.package).toMatchObject({ id: version.id, creator: { login: 'ann' } })
    expect(deleted.sender).toMatchObject({ login: 'root', is_admin: false })
    await server.api('DELETE', `/orgs/acme/hooks/${id}`, undefined, ann)
  })

  test('goes to the hooks of the owner and of the site that ask for it, and to no other (security.md S6)', async () => {
    const bob = await server.createUser('bob')
    await server.createOrganization('other', bob)
    const url = (name: string) => `${receiver.url}/${name}`
    const made = [
      ['/orgs/acme/hooks', await createHook(server, '/orgs/acme/hooks', url('acme'), { name: 'acme' })],
      ['/orgs/acme/hooks', await createHook(server, '/orgs/acme/hooks', url('push'), { events: undefined })],
      ['/orgs/acme/hooks', await createHook(server, '/orgs/acme/hooks', url('idle'), { active: undefined })],
      ['/orgs/other/hooks', await createHook(server, '/orgs/other/hooks', url('other'))],
      ['/admin/hooks', await createHook(server, '/admin/hooks', url('system'), {}, { is_system_webhook: 'true' })],
      ['/admin/hooks', await createHook(server, '/admin/hooks', url('default'))],
    ]
    await createHook(server, '/user/hooks', url('bob'), { authorization: bob })
    await createHook(server, '/user/hooks', url('ann'), { authorization: ann })
    await publish(server, { owner: 'acme', name: 'heard', creator: 'ann' })
    await deliver(server)
    expect(receiver.requests.map(({ path }) => path).sort()).toEqual(['/acme', '/system'])
    const [{ headers }] = receiver.asked('/system') as [(typeof receiver.requests)[0]]
    expect(headers['x-gitea-hook-installation-target-type']).toBe('system')
    expect(headers['x-gitea-signature']).toBe('')
    for (const [place, id] of made) await server.api('DELETE', `${place}/${id}`)
  })
})
