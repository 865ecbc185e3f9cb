import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { createGate } from '../../support/fake-upstream.ts'
import { hasCommand } from '../clients.ts'
import { ContainersHome } from './containers-home.ts'
import { blobsOf, type Descriptor, type Image, OciLayout, readLayout } from './images.ts'
import { Mirror } from './mirror.ts'
import { RegistryClient } from './registry-client.ts'

const isAble = ['docker-registry', 'skopeo'].every(hasCommand)
const LAYER = 6_000_000
const HALF = 3_000_000

/** How bytes come from the upstream: once, whole, and never spoilt by who else wanted them. */
describe.skipIf(!isAble)('downloads through the mirror', () => {
  let mirror: Mirror
  let home: ContainersHome
  let layout: OciLayout

  beforeAll(async () => {
    mirror = await Mirror.start()
    home = await ContainersHome.create([{ insecure: mirror.server.host }, { insecure: mirror.registry.host }])
    layout = await OciLayout.create(join(home.directory, 'layout'))
  })
  afterEach(() => {
    mirror.hub.heal()
    mirror.hub.forget()
  })
  afterAll(async () => {
    await mirror?.dispose()
    await home?.dispose()
  })

  const at = (name: string): string => `${mirror.server.host}/docker.io/library/${name}`

  async function push(name: string, descriptor: Descriptor): Promise<void> {
    await layout.tag('x', descriptor)
    await home.skopeo('copy', '--all', layout.reference('x'), `docker://${mirror.registry.host}/library/${name}`)
  }

  /** An image of its own at the upstream; its layer of noise is long enough to be watched on its way. */
  async function publish(name: string, tag = 'v1', text = name): Promise<Image> {
    const image = await layout.addImage({ text, padding: [LAYER] })
    await push(`${name}:${tag}`, image)
    return image
  }

  async function expectWhole(name: string, image: Image): Promise<void> {
    expect(await readLayout(await home.download(at(name)))).toEqual({ digest: image.digest, blobs: blobsOf(image) })
  }

  test('twenty clients at once are served by one download, while it runs', async () => {
    const image = await publish('crowd')
    const index = await layout.addIndex([image])
    await push('crowd:all', index)
    const gate = createGate()
    mirror.hub.faults.holdBlobs = { after: HALF, until: gate.opened }
    const layer = image.layers[1]!.digest
    const started = new Set<number>()

    const pulls = Array.from({ length: 20 }, async (_, n) => {
      const client = new RegistryClient(mirror.server.url)
      const repository = 'docker.io/library/crowd'
      const { manifests } = await client.manifest(repository, 'all')
      const { config, layers } = await client.manifest(repository, manifests![0]!.digest)
      const digests = [config!, ...layers!].map(({ digest }) => digest)
      return Promise.all(
        digests.map((digest) =>
          client.blob(repository, digest, (received) => {
            if (digest === layer && received > 1_000_000 && received < LAYER) started.add(n)
          }),
        ),
      )
    })
    await vi.waitFor(() => expect(started.size).toBe(20), { timeout: 60_000 })
    expect(mirror.hub.count('cdn', 'GET', layer)).toBe(1)
    gate.open()
    const expected = [image.config, ...image.layers].map(({ digest }) => digest)
    for (const pulled of await Promise.all(pulls)) expect(pulled).toEqual(expected)

    for (const digest of expected) {
      expect([digest, mirror.hub.count('blob', 'GET', digest), mirror.hub.count('cdn', 'GET', digest)]).toEqual([
        digest,
        1,
        1,
      ])
    }
    for (const digest of [index.digest, image.digest]) expect(mirror.hub.count('manifest', 'GET', digest)).toBe(1)
    expect(mirror.hub.count('manifest', 'GET', '/manifests/all')).toBe(0)
    expect(mirror.hub.count('token')).toBe(1)
  })

  test('what a held manifest names is fetched when it is asked for', async () => {
    const image = await publish('later')
    await home.skopeo('inspect', '--raw', `docker://${at('later:v1')}`)
    expect(mirror.hub.count('cdn')).toBe(0)
    mirror.hub.faults.manifestGets = 429
    await expectWhole('later:v1', image)
    expect(mirror.hub.count('cdn')).toBe(3)
  })

  test('a layer of two images is fetched once', async () => {
    const one = await layout.addImage({ text: 'shared', padding: [LAYER] })
    const two = await layout.addImage({ text: 'shared', padding: [LAYER], architecture: 'arm64' })
    await push('shared-one:v1', one)
    await push('shared-two:v1', two)
    await expectWhole('shared-one:v1', one)
    await expectWhole('shared-two:v1', two)
    for (const { digest } of one.layers) expect(mirror.hub.count('cdn', 'GET', digest)).toBe(1)
  })

  test('a tag is asked for by HEAD when its time is over, and seen when it moved', async () => {
    const expire = () => mirror.server.rest('POST', '/admin/upstreams/docker-io/invalidate', {})
    const answered = () => mirror.hub.asked('manifest').filter(({ status }) => status === 200)
    const asked = () => answered().map(({ method, path }) => `${method} ${path.split('/').at(-1)}`)
    const before = await publish('moving', 'v1', 'before')
    await expectWhole('moving:v1', before)
    expect(asked()).toEqual(['HEAD v1', `GET ${before.digest}`])
    mirror.hub.forget()

    await expire()
    await expectWhole('moving:v1', before)
    expect(asked()).toEqual(['HEAD v1'])
    mirror.hub.forget()

    const after = await publish('moving', 'v1', 'after')
    await expectWhole('moving:v1', before)
    expect(mirror.hub.requests).toEqual([])
    await expire()
    await expectWhole('moving:v1', after)
    expect(asked()).toEqual(['HEAD v1', `GET ${after.digest}`])
    await home.download(`${at('moving')}@${before.digest}`)
  })

  test('a client that is killed spoils nothing', async () => {
    const image = await publish('killed')
    const gate = createGate()
    mirror.hub.faults.holdBlobs = { after: HALF, until: gate.opened }
    const { cwd, env } = home.options()
    const killed = spawn('skopeo', ['copy', `docker://${at('killed:v1')}`, `dir:${join(home.directory, 'killed')}`], {
      cwd,
      env,
    })
    const closed = once(killed, 'close')
    await vi.waitFor(() => expect(mirror.hub.count('cdn', 'GET', image.layers[1]!.digest)).toBe(1), { timeout: 60_000 })
    killed.kill('SIGKILL')
    await closed
    gate.open()
    await expectWhole('killed:v1', image)
    expect(mirror.hub.count('cdn', 'GET', image.layers[1]!.digest)).toBe(1)
  })

  test('a download that breaks off at the upstream goes on where it was', async () => {
    const image = await publish('interrupted')
    mirror.hub.faults.cutBlobsAt = (2 * LAYER) / 3
    await expectWhole('interrupted:v1', image)
    expect(mirror.hub.count('cdn', 'GET', image.layers[1]!.digest)).toBe(2)
  })

  test('a download that fails is not kept, and the next one is whole', async () => {
    const image = await publish('broken')
    mirror.hub.faults.cutBlobsAt = 0
    const client = new RegistryClient(mirror.server.url)
    await expect(client.blob('docker.io/library/broken', image.layers[1]!.digest)).rejects.toThrow()
    mirror.hub.heal()
    await mirror.server.rest('POST', '/admin/upstreams/docker-io/mode', { mode: 'online' })
    await expectWhole('broken:v1', image)
  })

  test('a token of the upstream whose time is over is renewed', async () => {
    await expectWhole('renewed:v1', await publish('renewed'))
    mirror.hub.tokens.expireAll()
    await expectWhole('renewed:v2', await publish('renewed', 'v2', 'renewed again'))
    expect(mirror.hub.count('token')).toBe(2)
  })
})
