import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { FakeNpmRegistry } from '../support/fake-npm-registry.ts'
import { TestApp } from '../support/test-app.ts'
import { createTestDatabaseUrl } from '../support/test-database.ts'

/** Needs Redis: TEST_REDIS_URL. */
test.skipIf(process.env['TEST_REDIS_URL'] === undefined)(
  'what is denied at one replica, the other refuses soon, though it served it a moment ago',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'entrepot-replicas-'))
    const database = await createTestDatabaseUrl(folder)
    const registry = await FakeNpmRegistry.start()
    await registry.publish({ name: 'left', version: '1.0.0' })
    await registry.publish({ name: 'left', version: '1.1.0' })
    const upstreams = { npmjs: { type: 'npm', owner: 'npmjs', url: registry.url, allowPrivateNetwork: true } }
    const start = () => TestApp.start({ databaseUrl: database.url, dataDir: folder, upstreams })
    const [one, two] = [await start(), await start()]
    const get = (app: TestApp, path: string) => app.inject({ url: `/api/packages/npmjs/npm${path}` })
    expect((await get(two, '/left/-/left-1.1.0.tgz')).statusCode).toBe(200)
    expect((await get(two, '/left')).json()['dist-tags'].latest).toBe('1.1.0')

    const rule = { action: 'deny', type: 'npm', name: 'left', versions: '1.1.0' }
    const { id } = (await one.api('POST', '/admin/policies', rule)).json()
    await vi.waitFor(async () => expect((await get(two, '/left/-/left-1.1.0.tgz')).statusCode).toBe(403), 5_000)
    const [here, there] = [await get(one, '/left'), await get(two, '/left')]
    expect(there.json()['dist-tags'].latest).toBe('1.0.0')
    expect(there.headers['etag']).toBe(here.headers['etag'])
    await one.api('DELETE', `/admin/policies/${id}`)
    await vi.waitFor(async () => expect((await get(two, '/left/-/left-1.1.0.tgz')).statusCode).toBe(200), 5_000)

    await one.close()
    await two.close()
    await registry.close()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  },
)
