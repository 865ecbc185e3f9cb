import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { startJobs } from '../../src/jobs.ts'
import { publish } from '../support/builders/published-package.ts'
import { createGate, FakeUpstream, silence } from '../support/fake-upstream.ts'
import { TestApp } from '../support/test-app.ts'
import { createTestDatabaseUrl, testDialects } from '../support/test-database.ts'
import { createHook, deliver, deliveriesOf, heardBy, toLoopback, uuidOf } from './receiver.ts'

describe.each(testDialects)('on %s', (dialect) => {
  let folder: string
  let database: { url: string; drop: () => Promise<void> }
  let receiver: FakeUpstream
  const open = new Set<TestApp>()

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'entrepot-hooks-'))
    database = await createTestDatabaseUrl(folder, dialect)
    receiver = await FakeUpstream.start()
    receiver.fallback = {}
  })
  afterEach(async () => {
    for (const server of open) await server.close()
    open.clear()
    await receiver.close()
    await database.drop()
    await rm(folder, { recursive: true })
  })
  const start = async (environment: Record<string, string> = {}) => {
    const server = await TestApp.start({
      ...{ databaseUrl: database.url, dataDir: folder },
      environment: { ...toLoopback, ...environment },
    })
    open.add(server)
    return server
  }
  const stop = async (server: TestApp) => {
    open.delete(server)
    await server.close()
  }

  test('what was published before a stop is delivered after it, signed with the secret of then', async () => {
    const before = await start()
    await before.createOrganization('acme')
    const id = await createHook(before, '/orgs/acme/hooks', `${receiver.url}/hook`, {}, { secret: 's' })
    await publish(before, { owner: 'acme', name: 'tool', creator: 'root' })
    await stop(before)
    expect(receiver.requests).toEqual([])
    const after = await start()
    await deliver(after)
    expect(heardBy(receiver)).toEqual(['created acme/tool 1.0.0'])
    expect(receiver.requests[0]!.headers['x-gitea-signature']).toMatch(/^[0-9a-f]{64}$/)
    expect(await deliveriesOf(after, `/orgs/acme/hooks/${id}`)).toMatchObject([{ status: 'delivered', attempts: 1 }])
  })

  test('what was on its way when the server died is due again when its time is over', async () => {
    const server = await start()
    await server.createOrganization('acme')
    const id = await createHook(server, '/orgs/acme/hooks', `${receiver.url}/hook`)
    await publish(server, { owner: 'acme', name: 'tool', creator: 'root' })
    await server.services.webhooks.settle()
    // Claimed, and never heard of again.
    expect(await server.services.webhooks.tasks.claim(id, 10, 35_000)).toHaveLength(1)
    await deliver(server)
    expect(receiver.requests).toEqual([])
    server.clock.advance(36_000)
    await deliver(server)
    expect(heardBy(receiver)).toEqual(['created acme/tool 1.0.0'])
    expect(await deliveriesOf(server, `/orgs/acme/hooks/${id}`)).toMatchObject([{ status: 'delivered', attempts: 2 }])
  })

  test('two servers deliver each once, though both are at it', async () => {
    const [one, two] = [await start(), await start()]
    await one.createOrganization('acme')
    await createHook(one, '/orgs/acme/hooks', `${receiver.url}/hook`)
    for (let index = 0; index < 40; index += 1) {
      await publish(one, { owner: 'acme', name: 'tool', version: String(index), creator: 'root' })
    }
    await one.services.webhooks.settle()
    await Promise.all([deliver(one), deliver(two)])
    expect(receiver.requests).toHaveLength(40)
    expect(new Set(receiver.requests.map(uuidOf)).size).toBe(40)
  })

  test('a server delivers by itself, and ends though a receiver keeps it waiting', async () => {
    const server = await start({ ENTREPOT_WEBHOOKS_TIMEOUT: '60s' })
    await server.createOrganization('acme')
    const id = await createHook(server, '/orgs/acme/hooks', `${receiver.url}/hook`)
    startJobs(server.services)
    await publish(server, { owner: 'acme', name: 'tool', creator: 'root' })
    await vi.waitFor(() => expect(heardBy(receiver)).toEqual(['created acme/tool 1.0.0']), 5_000)
    receiver.fallback = silence
    await publish(server, { owner: 'acme', name: 'tool', version: '2.0.0', creator: 'root' })
    await vi.waitFor(() => expect(receiver.requests).toHaveLength(2), 5_000)
    const before = performance.now()
    await stop(server)
    expect(performance.now() - before).toBeLessThan(15_000)
    const after = await start()
    const [last] = await deliveriesOf(after, `/orgs/acme/hooks/${id}`)
    expect(last).toMatchObject({ status: 'pending', attempts: 1, error: 'the server was stopped' })
  })

  test('with another key it delivers nothing under a signature that is not the hook’s', async () => {
    const before = await start()
    await before.createOrganization('acme')
    const id = await createHook(before, '/orgs/acme/hooks', `${receiver.url}/hook`, {}, { secret: 's' })
    await publish(before, { owner: 'acme', name: 'tool', creator: 'root' })
    await stop(before)
    const after = await start({ ENTREPOT_SECRET_KEY: Buffer.alloc(32, 3).toString('base64') })
    await deliver(after)
    expect(receiver.requests).toEqual([])
    const [delivery] = await deliveriesOf(after, `/orgs/acme/hooks/${id}`)
    expect(delivery).toMatchObject({ status: 'failed', error: expect.stringContaining('another key') })
  })

  test('an event that cannot be stored is stored when it can', async () => {
    const server = await start()
    await server.createOrganization('acme')
    await createHook(server, '/orgs/acme/hooks', `${receiver.url}/hook`)
    const failing = vi.spyOn(server.services.webhooks.tasks, 'add').mockRejectedValueOnce(new Error('no database'))
    await publish(server, { owner: 'acme', name: 'tool', creator: 'root' })
    await deliver(server)
    expect(failing).toHaveBeenCalledTimes(2)
    expect(heardBy(receiver)).toEqual(['created acme/tool 1.0.0'])
  })

  test('what happens while others are stored is stored too', async () => {
    const server = await start()
    await server.createOrganization('acme')
    await createHook(server, '/orgs/acme/hooks', `${receiver.url}/hook`)
    const gate = createGate()
    const { tasks } = server.services.webhooks
    const add = tasks.add.bind(tasks)
    vi.spyOn(tasks, 'add').mockImplementationOnce(async (added) => {
      await gate.opened
      return add(added)
    })
    await publish(server, { owner: 'acme', name: 'one', creator: 'root' })
    await publish(server, { owner: 'acme', name: 'two', creator: 'root' })
    gate.open()
    await deliver(server)
    expect(heardBy(receiver).sort()).toEqual(['created acme/one 1.0.0', 'created acme/two 1.0.0'])
  })
})
