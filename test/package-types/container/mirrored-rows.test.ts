import { QueryTypes } from 'sequelize'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { toOwner } from '../../../src/auth/owner.ts'
import { FakeContainerRegistry } from '../../support/fake-container-registry.ts'
import { TestApp } from '../../support/test-app.ts'

let registry: FakeContainerRegistry
let server: TestApp

beforeEach(async () => {
  registry = await FakeContainerRegistry.start()
  const hub = { type: 'container', owner: 'hub', url: registry.url, allowPrivateNetwork: true }
  server = await TestApp.start({ upstreams: { hub } })
})
afterEach(async () => {
  vi.restoreAllMocks()
  await server.close()
  await registry.close()
})

const ask = async (path: string, method: 'GET' | 'HEAD' = 'GET') => {
  const response = await server.inject({ method, url: `/v2/hub/team/app/${path}` })
  expect(response.statusCode, response.body).toBe(200)
  return response
}
const settle = () => server.services.upstream.settle()
const purge = () => server.services.upstream.purge('hub')
const versions = async () =>
  server.services.db.sequelize.query<{ version: string; packages: number; leads: number; metadata: string }>(
    `SELECT v.version AS version, v.metadata_json AS metadata,
       (SELECT COUNT(*) FROM package p WHERE p.id = v.package_id) AS packages,
       (SELECT COUNT(*) FROM package_file f WHERE f.version_id = v.id AND f.is_lead = 1) AS leads
     FROM package_version v ORDER BY v.version`,
    { type: QueryTypes.SELECT },
  )

test('a tag whose image another replica purges while it is being listed leaves nothing', async () => {
  const { manifest } = registry.addImage('team/app', 'v1')
  await ask(`manifests/${manifest.digest}`)
  await ask('manifests/v1', 'HEAD')
  await settle()
  const { db, models, packages } = server.services
  const mirror = toOwner((await models.user.findOne({ where: { name: 'hub' } }))!)
  const transact = db.inTransaction.bind(db)
  const spy = vi.spyOn(db, 'inTransaction').mockImplementationOnce(async (work) => {
    await packages.removal.removeAll(mirror, 'container')
    return transact(work)
  })
  await ask('manifests/v1')
  await settle()
  expect(spy).toHaveBeenCalled()
  expect(await versions()).toEqual([])
  await ask('manifests/v1')
  await settle()
  expect((await versions()).map(({ version }) => version)).toEqual([manifest.digest, 'v1'])
})

test('a blob that comes after its manifest was purged waits for it as an upload does', async () => {
  const { manifest, layer, config } = registry.addImage('team/app', 'v1')
  await ask('manifests/v1')
  await settle()
  await purge()
  await ask(`blobs/${layer.digest}`)
  await settle()
  expect((await versions()).map(({ version }) => version)).toEqual(['~uploads'])
  await ask('manifests/v1')
  await settle()
  await ask(`blobs/${config.digest}`)
  await settle()
  const held = await versions()
  expect(held.map(({ version, leads }) => [version, Number(leads)])).toEqual([
    [manifest.digest, 1],
    ['v1', 1],
    ['~uploads', 0],
  ])
  for (const { version, metadata } of held.slice(0, 2)) {
    expect(JSON.parse(metadata), version).toMatchObject({ platform: 'linux/arm64', is_tagged: version === 'v1' })
  }
})

test('a blob whose manifest could not be stored waits for it as an upload does', async () => {
  const { layer } = registry.addImage('team/app', 'v1')
  const { packages } = server.services
  vi.spyOn(packages, 'addCachedFile').mockRejectedValueOnce(new Error('the database is away'))
  await ask('manifests/v1')
  await ask(`blobs/${layer.digest}`)
  await settle()
  expect((await versions()).map(({ version }) => version)).toEqual(['~uploads'])
})
