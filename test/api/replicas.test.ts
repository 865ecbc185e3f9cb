import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { FakeNpmRegistry } from '../support/fake-npm-registry.ts'
import { basic, TestApp } from '../support/test-app.ts'
import { createTestDatabaseUrl } from '../support/test-database.ts'

/** Needs Redis: TEST_REDIS_URL. */
test.skipIf(process.env['TEST_REDIS_URL'] === undefined)(
  'what one replica revokes, the other refuses soon, though it knew it by heart',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'entrepot-replicas-'))
    const database = await createTestDatabaseUrl(folder)
    const start = () => TestApp.start({ databaseUrl: database.url, dataDir: folder })
    const [one, two] = [await start(), await start()]
    const ann = await one.createUser('ann')
    await one.createOrganization('closed', ann, 'private')
    const secret = await one.createToken('ann', ['all'], ann)
    const status = async (path: string, authorization: string) =>
      (await two.api('GET', path, undefined, authorization)).statusCode
    expect(await status('/packages/closed', `token ${secret}`)).toBe(200)
    expect(await status('/packages/closed', ann)).toBe(200)

    await one.api('DELETE', '/token', undefined, `token ${secret}`)
    await vi.waitFor(async () => expect(await status('/user', `token ${secret}`)).toBe(401), 5_000)
    await one.api('PATCH', '/admin/users/ann', { login_name: 'ann', password: 'another-long-one' })
    await vi.waitFor(async () => expect(await status('/user', ann)).toBe(401), 5_000)
    await one.api('DELETE', '/orgs/closed')
    await vi.waitFor(
      async () => expect(await status('/orgs/closed', basic('ann', 'another-long-one'))).toBe(404),
      5_000,
    )

    await one.close()
    await two.close()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  },
)

/** Needs Redis: TEST_REDIS_URL. */
test.skipIf(process.env['TEST_REDIS_URL'] === undefined)(
  'what an organization reserves at one replica, the other asks no upstream for any more, and hosts',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'entrepot-replicas-'))
    const database = await createTestDatabaseUrl(folder)
    const registry = await FakeNpmRegistry.start()
    const upstreams = { npmjs: { type: 'npm', owner: 'npmjs', url: registry.url, allowPrivateNetwork: true } }
    const start = () => TestApp.start({ databaseUrl: database.url, dataDir: folder, upstreams })
    const [one, two] = [await start(), await start()]
    await one.createOrganization('acme')
    await one.api('PUT', '/orgs/acme/upstreams/npm', ['npmjs'])
    const status = async (name: string) =>
      (await two.inject({ method: 'GET', url: `/api/packages/acme/npm/${name}` })).statusCode
    for (const name of ['acme-a', 'acme-b']) await registry.publish({ name, version: '99.0.0' })
    expect(await status('acme-a')).toBe(200)

    await one.api('PUT', '/orgs/acme/reserved-names/npm', ['acme-*'])
    await vi.waitFor(async () => expect(await status('acme-a')).toBe(404), 5_000)
    expect(await status('acme-b')).toBe(404)
    expect(registry.upstream.count('/acme-b')).toBe(0)
    await one.api('PUT', '/orgs/acme/reserved-names/npm', [])
    await vi.waitFor(async () => expect(await status('acme-a')).toBe(200), 5_000)

    await one.close()
    await two.close()
    await registry.close()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  },
)
