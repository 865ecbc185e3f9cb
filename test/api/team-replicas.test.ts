import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { TestApp } from '../support/test-app.ts'
import { createTestDatabaseUrl } from '../support/test-database.ts'

/** Needs Redis: TEST_REDIS_URL. */
test.skipIf(process.env['TEST_REDIS_URL'] === undefined)(
  'what one replica changes of a team, the other follows, though it knew the rights by heart (security.md S12)',
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'entrepot-replicas-'))
    const database = await createTestDatabaseUrl(folder)
    const start = () => TestApp.start({ databaseUrl: database.url, dataDir: folder })
    const [one, two] = [await start(), await start()]
    const ann = await one.createUser('ann')
    const bob = await one.createUser('bob')
    await one.createOrganization('closed', ann, 'private')
    const rights = { name: 'crew', units_map: { 'repo.packages': 'read' } }
    const { id } = (await one.api('POST', '/orgs/closed/teams', rights, ann)).json() as { id: number }

    let count = 0
    const write = async () => {
      count += 1
      const url = `/api/packages/closed/generic/thing/${count}.0.0/file`
      const headers = { authorization: bob }
      return (await two.inject({ method: 'PUT', url, headers, payload: Buffer.from('x') })).statusCode
    }
    const read = async () => (await two.api('GET', '/packages/closed', undefined, bob)).statusCode
    // Less than the minute after which a replica looks for itself.
    const follows = (ask: () => Promise<number>, status: number) =>
      vi.waitFor(async () => expect(await ask()).toBe(status), 5_000)

    expect(await read()).toBe(403)
    await one.api('PUT', `/teams/${id}/members/bob`, undefined, ann)
    await follows(read, 200)
    expect(await write()).toBe(401)
    await one.api('PATCH', `/teams/${id}`, { units_map: { 'repo.packages': 'write' } }, ann)
    await follows(write, 201)
    await one.api('PATCH', `/teams/${id}`, { units_map: { 'repo.packages': 'read' } }, ann)
    await follows(write, 401)
    await one.api('DELETE', '/orgs/closed/members/bob', undefined, ann)
    await follows(read, 403)
    await one.api('PUT', `/teams/${id}/members/bob`, undefined, ann)
    await follows(read, 200)
    await one.api('DELETE', `/teams/${id}`, undefined, ann)
    await follows(read, 403)

    await one.close()
    await two.close()
    await database.drop()
    await rm(folder, { recursive: true, force: true })
  },
)
