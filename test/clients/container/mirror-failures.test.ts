import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { hasCommand } from '../clients.ts'
import { ContainersHome } from './containers-home.ts'
import type { HubFaults } from './hub-front.ts'
import { blobsOf, type Descriptor, type Image, OciLayout, readLayout } from './images.ts'
import { Mirror } from './mirror.ts'
import { RegistryClient } from './registry-client.ts'

const isAble = ['docker-registry', 'skopeo'].every(hasCommand)
const failures: readonly [name: string, faults: Partial<HubFaults>][] = [
  ['is gone', { down: true }],
  ['limits the rate of manifests', { manifestGets: 429 }],
  ['limits the rate of everything', { registry: 429 }],
  ['fails', { registry: 503 }],
  ['limits the rate of logins', { login: 429 }],
  ['refuses logins', { login: 401 }],
  ['forbids logins', { login: 403 }],
]

/** What was pulled once can be pulled again, whatever becomes of the upstream. */
describe.skipIf(!isAble)('the upstream of a mirror', () => {
  let mirror: Mirror
  let home: ContainersHome
  let layout: OciLayout
  let images: Image[]
  let index: Descriptor

  beforeAll(async () => {
    // Every use of a tag asks the upstream.
    mirror = await Mirror.start({ fresh: '0s' })
    home = await ContainersHome.create([{ insecure: mirror.server.host }, { insecure: mirror.registry.host }])
    layout = await OciLayout.create(join(home.directory, 'layout'))
    images = [
      await layout.addImage({ text: 'one', padding: [1_500_000] }),
      await layout.addImage({ text: 'two', architecture: 'arm64' }),
    ]
    index = await layout.addIndex(images)
    await layout.tag('v1', index)
    await push('held')
    await home.download(`${mirror.server.host}/docker.io/library/held:v1`)
  })
  beforeEach(() => mirror.hub.forget())
  afterEach(async () => {
    mirror.hub.heal()
    // What the server learnt of the upstream's health ends here: the next test has failures of its own.
    await mirror.server.rest('POST', '/admin/upstreams/docker-io/mode', { mode: 'online' })
  })
  afterAll(async () => {
    await mirror?.dispose()
    await home?.dispose()
  })

  async function push(name: string): Promise<void> {
    await home.skopeo('copy', '--all', layout.reference('v1'), `docker://${mirror.registry.host}/library/${name}:v1`)
  }

  function fail(faults: Partial<HubFaults>): void {
    Object.assign(mirror.hub.faults, faults)
    mirror.hub.tokens.expireAll()
  }

  test.each(failures)('%s: what is held is served', async (_name, faults) => {
    fail(faults)
    const copy = await readLayout(await home.download(`${mirror.server.host}/docker.io/library/held:v1`))
    expect(copy).toEqual({ digest: index.digest, blobs: blobsOf(index, ...images) })
    expect(mirror.hub.count('cdn')).toBe(0)
  })

  test.each(failures)('%s: what is not held is its failure, and is there afterwards', async (failure, faults) => {
    const name = failure.replaceAll(' ', '-')
    await push(name)
    fail(faults)
    const client = new RegistryClient(mirror.server.url)
    const answer = await client.ask(`docker.io/library/${name}/manifests/v1`)
    expect([429, 502, 503, 504]).toContain(answer.status)
    expect(((await answer.json()) as { errors: unknown[] }).errors).toHaveLength(1)
    mirror.hub.heal()
    await mirror.server.rest('POST', '/admin/upstreams/docker-io/mode', { mode: 'online' })
    expect((await client.ask(`docker.io/library/${name}/manifests/v1`)).status).toBe(200)
  })

  test('limits the rate: clients are told when to come again', async () => {
    fail({ registry: 429 })
    const answer = await new RegistryClient(mirror.server.url).ask('docker.io/library/any/manifests/v1')
    expect([answer.status, Number(answer.headers.get('retry-after')) > 0]).toEqual([429, true])
    expect(await answer.json()).toMatchObject({ errors: [{ code: 'TOOMANYREQUESTS' }] })
  })

  test('does not have an image: that is not its failure', async () => {
    const answer = await new RegistryClient(mirror.server.url).ask('docker.io/library/nowhere/manifests/v1')
    expect(answer.status).toBe(404)
  })
})
