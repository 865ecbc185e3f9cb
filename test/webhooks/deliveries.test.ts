import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { publish } from '../support/builders/published-package.ts'
import { createGate, FakeUpstream, silence } from '../support/fake-upstream.ts'
import { TestApp } from '../support/test-app.ts'
import { createHook, deliver, deliveriesOf, heardBy, lastOf, toLoopback, uuidOf } from './receiver.ts'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

let server: TestApp
let receiver: FakeUpstream
let organization = ''
let hooks: string
let hook: string
/** Where it leads: what an earlier test left unfinished is tried again too. */
let path: string

beforeAll(async () => {
  server = await TestApp.start({ environment: { ...toLoopback, ENTREPOT_WEBHOOKS_TIMEOUT: '300ms' } })
  receiver = await FakeUpstream.start()
})
afterAll(async () => {
  await server.close()
  await receiver.close()
})
beforeEach(async () => {
  receiver.forget()
  receiver.everything(null)
  receiver.fallback = {}
  organization = `acme-${Math.random().toString(36).slice(2)}`
  path = `/${organization}`
  hooks = `/orgs/${organization}/hooks`
  await server.createOrganization(organization)
  hook = `${hooks}/${await createHook(server, hooks, `${receiver.url}${path}`)}`
})

const release = (name = 'tool', version = '1.0.0') =>
  publish(server, { owner: organization, name, version, creator: 'root' })
/** How long after now the next attempt is due. */
const untilNext = async () => {
  const { next_attempt_at: next } = await lastOf(server, hook)
  return Date.parse(next) - server.clock.now()
}

describe('a failed delivery', () => {
  test('is tried again, later each time, with the same UUID, until it is given up', async () => {
    receiver.fallback = { status: 500, body: 'out of order' }
    await release()
    await deliver(server)
    for (const [attempt, delay] of [10_000, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR].entries()) {
      expect(receiver.count(path)).toBe(attempt + 1)
      const [delivery] = await deliveriesOf(server, hook)
      expect(delivery).toMatchObject({ status: 'pending', attempts: attempt + 1, response_status: 500 })
      const wait = await untilNext()
      expect(wait).toBeGreaterThan(delay - 2_000)
      expect(wait).toBeLessThan(delay * 1.2 + 1_000)
      server.clock.advance(delay - 5_000)
      await deliver(server)
      expect(receiver.count(path)).toBe(attempt + 1)
      server.clock.advance(delay * 0.2 + 6_000)
      await deliver(server)
    }
    expect(receiver.count(path)).toBe(6)
    expect(await deliveriesOf(server, hook)).toMatchObject([{ status: 'failed', attempts: 6 }])
    expect(new Set(receiver.asked(path).map(uuidOf)).size).toBe(1)
    server.clock.advance(DAY)
    await deliver(server)
    expect(receiver.count(path)).toBe(6)
  })

  test.each([
    ['no answer', silence, 'no answer within 300 ms'],
    ['a cut connection', { refuse: true }, 'UND_ERR_SOCKET'],
  ])('may be %s, and the next attempt succeeds', async (_what, answer, error) => {
    receiver.on(path, (_request, attempt) => (attempt === 1 ? answer : {}))
    await release()
    await deliver(server)
    expect(await deliveriesOf(server, hook)).toMatchObject([{ status: 'pending', response_status: 0, error }])
    server.clock.advance(13_000)
    await deliver(server)
    const delivered = { status: 'delivered', attempts: 2, response_status: 200, error: '' }
    expect(await deliveriesOf(server, hook)).toMatchObject([{ ...delivered, next_attempt_at: '0001-01-01T00:00:00Z' }])
  })

  test('is one that is redirected: nobody else is asked (security.md S40)', async () => {
    receiver.on(path, { status: 307, headers: { location: `${receiver.url}/elsewhere` } })
    await release()
    await deliver(server)
    expect(await deliveriesOf(server, hook)).toMatchObject([{ status: 'pending', response_status: 307 }])
    expect(receiver.count('/elsewhere')).toBe(0)
  })
})

describe('a delivery that waits for too long', () => {
  test('is given up after a day, and nobody is called', async () => {
    await release()
    await server.services.webhooks.settle()
    server.clock.advance(DAY + MINUTE)
    await deliver(server)
    expect(receiver.count(path)).toBe(0)
    const error = 'it could not be delivered within a day'
    expect(await deliveriesOf(server, hook)).toMatchObject([{ status: 'failed', response_status: 0, error }])
  })

  test('is removed when its hook is gone', async () => {
    const { tasks } = server.services.webhooks
    const nobodys = { hookId: 987_654, ownerId: 1, cause: 'event', event: 'package', action: 'created' } as const
    await tasks.add([{ ...nobodys, payload: '{}' }])
    expect(await tasks.dueHooks()).not.toContain(987_654)
    server.clock.advance(3 * DAY)
    await tasks.prune(DAY)
    expect(await server.services.models.hookTask.count({ where: { hookId: 987_654 } })).toBe(0)
  })
})

describe('a delivery', () => {
  test('succeeds by its status, whatever comes after, and 64 KiB of that are kept', async () => {
    receiver.on(path, { status: 201, headers: { 'x-answer': 'yes' }, body: 'x'.repeat(300_000), cutAt: 200_000 })
    await release()
    await deliver(server)
    const { uuid } = await lastOf(server, hook)
    const full = (await server.api('GET', `${hook}/deliveries/${uuid}`)).json()
    expect(full).toMatchObject({
      status: 'delivered',
      response_status: 201,
      response: { headers: { 'x-answer': 'yes' } },
    })
    expect(full.response.body).toBe('x'.repeat(65_536))
    expect(full.request).toMatchObject({ url: `${receiver.url}${path}`, headers: { 'X-Gitea-Event': 'package' } })
    expect(full.request.payload).toBe(receiver.asked(path)[0]!.body.toString())
  })

  test('is made once more when somebody asks, under a new UUID', async () => {
    await release()
    await deliver(server)
    const { uuid } = await lastOf(server, hook)
    expect((await server.api('POST', `${hook}/deliveries/${uuid}/redeliver`)).statusCode).toBe(202)
    await deliver(server)
    const [first, second] = receiver.asked(path)
    expect(second!.body).toEqual(first!.body)
    expect(uuidOf(second!)).not.toBe(uuidOf(first!))
    expect(await deliveriesOf(server, hook)).toMatchObject([
      { uuid: uuidOf(second!), cause: 'redelivery', status: 'delivered' },
      { uuid, cause: 'event', status: 'delivered' },
    ])
  })

  test('can be tried out before the hook is switched on', async () => {
    await server.api('PATCH', hook, { active: false })
    expect((await server.api('POST', `${hook}/tests`)).statusCode).toBe(204)
    await deliver(server)
    expect(heardBy(receiver, path)).toEqual([`created ${organization}/webhook-test 1.0.0`])
    expect(await deliveriesOf(server, hook)).toMatchObject([{ cause: 'test', status: 'delivered' }])
  })

  test('is no more when the hook was deleted while it waited', async () => {
    receiver.fallback = { status: 503 }
    await release()
    await deliver(server)
    expect((await server.api('DELETE', hook)).statusCode).toBe(204)
    server.clock.advance(MINUTE)
    await deliver(server)
    expect(receiver.count(path)).toBe(1)
    expect(await server.services.models.hookTask.count({ where: { hookId: Number(hook.split('/').at(-1)) } })).toBe(0)
  })

  test('is no more when the hook was deleted while it was on its way', async () => {
    const gate = createGate()
    receiver.on(path, { before: gate.opened })
    await release()
    const delivering = deliver(server)
    await vi.waitFor(() => expect(receiver.count(path)).toBe(1))
    expect((await server.api('DELETE', hook)).statusCode).toBe(204)
    gate.open()
    await delivering
    expect(await server.services.models.hookTask.count({ where: { hookId: Number(hook.split('/').at(-1)) } })).toBe(0)
  })

  test('goes where the hook leads now', async () => {
    receiver.on(path, { status: 500 })
    await release()
    await deliver(server)
    await server.api('PATCH', hook, { config: { url: `${receiver.url}/moved` }, events: ['package'] })
    server.clock.advance(MINUTE)
    await deliver(server)
    expect(heardBy(receiver, '/moved')).toHaveLength(1)
  })

  test('leaves the log after a while', async () => {
    const { tasks } = server.services.webhooks
    await release()
    await deliver(server)
    await server.api('POST', `${hook}/tests`)
    server.clock.advance(6 * DAY)
    expect(await tasks.prune(7 * DAY)).toBeGreaterThanOrEqual(0)
    expect(await deliveriesOf(server, hook)).toHaveLength(2)
    server.clock.advance(2 * DAY)
    await tasks.prune(7 * DAY)
    // What is still to be delivered is.
    expect(await deliveriesOf(server, hook)).toMatchObject([{ cause: 'test', status: 'pending' }])
  })
})

describe('rights are those of the moment of the delivery (security.md S7)', () => {
  const failing = async (owner: string, place: string, authorization = server.admin) => {
    receiver.fallback = { status: 503 }
    const id = await createHook(server, place, `${receiver.url}${path}/watched`, { authorization })
    await publish(server, { owner, name: `tool-${id}` })
    await deliver(server)
    expect(receiver.count(`${path}/watched`)).toBe(1)
    return id
  }
  const again = async () => {
    server.clock.advance(2 * MINUTE)
    receiver.fallback = {}
    await deliver(server)
  }

  test.each([
    ['is switched off', { active: false, events: ['package'] }],
    ['does not ask for it any more', { events: ['push'] }],
  ])('a hook that %s does not fire', async (_what, change) => {
    const id = await failing(organization, hooks)
    await server.api('PATCH', `${hooks}/${id}`, change)
    await again()
    expect(receiver.count(`${path}/watched`)).toBe(1)
    expect(await deliveriesOf(server, `${hooks}/${id}`)).toMatchObject([{ status: 'cancelled' }])
  })

  test.each([{ active: false }, { prohibit_login: true }])('a user’s does not while he is %j', async (change) => {
    const name = `user-${Math.random().toString(36).slice(2)}`
    const user = await server.createUser(name)
    const id = await failing(name, '/user/hooks', user)
    await server.api('PATCH', `/admin/users/${name}`, { login_name: name, ...change })
    await publish(server, { owner: name, name: 'more' })
    await again()
    expect(receiver.count(`${path}/watched`)).toBe(1)
    const tasks = await server.services.models.hookTask.findAll({ where: { hookId: id } })
    expect(tasks.map(({ status }) => status)).toEqual(['cancelled', 'cancelled'])
  })

  test('a deleted organization’s does not, nor is anything left of it', async () => {
    const id = await failing(organization, hooks)
    await server.api('DELETE', `/packages/${organization}/generic/tool-${id}`)
    await server.services.webhooks.settle()
    expect((await server.api('DELETE', `/orgs/${organization}`)).statusCode).toBe(204)
    await again()
    expect(receiver.count(`${path}/watched`)).toBe(1)
    const { webhook, hookTask } = server.services.models
    expect(await webhook.count({ where: { id } })).toBe(0)
    expect(await hookTask.count({ where: { hookId: id } })).toBe(0)
  })

  test('who has left the organization sees and redelivers nothing of its hooks', async () => {
    const name = `left-${Math.random().toString(36).slice(2)}`
    const user = await server.createUser(name)
    const teams = (await server.api('GET', `/orgs/${organization}/teams`)).json() as { id: number }[]
    await server.api('PUT', `/teams/${teams[0]!.id}/members/${name}`)
    await release()
    await deliver(server)
    const { uuid } = await lastOf(server, hook)
    const delivery = `${hook}/deliveries/${uuid}`
    expect((await server.api('GET', delivery, undefined, user)).statusCode).toBe(200)
    await server.api('DELETE', `/orgs/${organization}/members/${name}`)
    expect((await server.api('GET', delivery, undefined, user)).statusCode).toBe(403)
    expect((await server.api('POST', `${delivery}/redeliver`, undefined, user)).statusCode).toBe(403)
  })
})

describe('many deliveries', () => {
  test('a thousand events at once all arrive, once each', async () => {
    const owner = (await server.services.accounts.find(organization))!
    const { package: row, version } = await release('big', '0')
    for (let index = 1; index <= 1_000; index += 1) {
      const rows = { package: row, version: { ...version, version: String(index) } }
      const event = { owner, type: 'generic', name: 'big', version: String(index), doer: null, rows }
      server.services.packages.events.emit({ action: 'created', ...event })
    }
    await deliver(server)
    const versions = receiver.asked(path).map(({ body }) => JSON.parse(body.toString()).package.version)
    expect(versions.map(Number).sort((one, other) => one - other)).toEqual(Array.from({ length: 1_001 }, (_, i) => i))
  }, 180_000)

  test('a receiver that does not answer leaves room for the others', async () => {
    const other = await FakeUpstream.start()
    other.fallback = {}
    const gate = createGate()
    receiver.everything({ before: gate.opened })
    for (let index = 0; index < 20; index += 1) await release('slow', String(index))
    await createHook(server, hooks, `${other.url}/quick`)
    await release('quick')
    const delivering = deliver(server)
    await vi.waitFor(() => expect(other.count('/quick')).toBe(1))
    expect(receiver.count(path)).toBeLessThanOrEqual(4)
    gate.open()
    await delivering
    await other.close()
  })
})
