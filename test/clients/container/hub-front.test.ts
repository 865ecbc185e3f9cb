import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { hasCommand } from '../clients.ts'
import { ContainersHome } from './containers-home.ts'
import { HubFront } from './hub-front.ts'
import { blobsOf, type Descriptor, type Image, OciLayout, readLayout } from './images.ts'
import { UpstreamRegistry } from './upstream-registry.ts'

const isAble = ['docker-registry', 'skopeo'].every(hasCommand)

/** The stand-in for Docker Hub, as a real client meets it. */
describe.skipIf(!isAble)('the front that behaves like Docker Hub', () => {
  let registry: UpstreamRegistry
  let hub: HubFront
  let home: ContainersHome
  let layout: OciLayout
  let images: Image[]
  let index: Descriptor

  beforeAll(async () => {
    registry = await UpstreamRegistry.start()
    hub = await HubFront.start(registry.url)
    home = await ContainersHome.create([{ insecure: registry.host }, { insecure: hub.host }])
    layout = await OciLayout.create(join(home.directory, 'layout'))
    images = [
      await layout.addImage({ text: 'one', padding: [300_000] }),
      await layout.addImage({ text: 'two', architecture: 'arm64' }),
    ]
    index = await layout.addIndex(images)
    await layout.tag('v1', index)
    await home.skopeo('copy', '--all', layout.reference('v1'), `docker://${registry.host}/library/hello:v1`)
  })
  beforeEach(() => {
    hub.heal()
    hub.forget()
  })
  afterAll(async () => {
    await hub?.close()
    await registry?.dispose()
    await home?.dispose()
  })

  test('gives images to whoever has a token, blobs from the CDN', async () => {
    const copy = await readLayout(await home.download(`${hub.host}/library/hello:v1`))
    expect(copy).toEqual({ digest: index.digest, blobs: blobsOf(index, ...images) })
    expect(hub.asked('token').map(({ query }) => query.get('scope'))).toEqual(['repository:library/hello:pull'])
    for (const { config, layers } of images) {
      for (const { digest } of [config, ...layers]) expect(hub.count('cdn', 'GET', digest)).toBe(1)
    }
    expect(hub.asked('cdn').filter(({ authorization }) => authorization !== null)).toEqual([])
  })

  test('refuses HEAD, credentials and forged addresses at the CDN', async () => {
    await home.download(`${hub.host}/library/hello:v1`)
    const { path, query } = hub.asked('cdn')[0]!
    const url = `http://${hub.cdnHost}${path}?${query}`
    expect((await fetch(url)).status).toBe(200)
    expect((await fetch(url, { headers: { authorization: 'Bearer x' } })).status).toBe(400)
    expect((await fetch(url, { method: 'HEAD' })).status).toBe(403)
    expect((await fetch(url.replace('hello', 'other'))).status).toBe(403)
  })

  test('lets users read what is private', async () => {
    hub.tokens.privateRepositories.add('library/hello')
    hub.tokens.users.set('ann', 'a password')
    const reference = `docker://${hub.host}/library/hello:v1`
    expect(await home.failing('skopeo', 'inspect', '--raw', reference)).toContain('denied')
    expect(await home.failing('skopeo', 'inspect', '--raw', '--creds', 'ann:wrong', reference)).toContain('invalid')
    expect(await home.skopeo('inspect', '--raw', '--creds', 'ann:a password', reference)).toContain(images[0]!.digest)
    hub.tokens.privateRepositories.clear()
  })

  test('fails as it is told', async () => {
    const inspect = ['inspect', '--raw', `docker://${hub.host}/library/hello:v1`]
    const scope = 'repository:library/hello:pull'
    const given = await fetch(`http://${hub.realmHost}/token?service=registry.example&scope=${scope}`)
    const { token } = (await given.json()) as { token: string }
    const manifest = `http://${hub.host}/v2/library/hello/manifests/v1`
    const headers = { authorization: `Bearer ${token}`, accept: index.mediaType }
    hub.faults.manifestGets = 429
    expect((await fetch(manifest, { headers })).status).toBe(429)
    expect((await fetch(manifest, { headers, method: 'HEAD' })).status).toBe(200)
    hub.heal()
    expect((await fetch(manifest, { headers })).status).toBe(200)
    hub.tokens.expireAll()
    const refused = await fetch(manifest, { headers })
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([
      401,
      expect.stringContaining('invalid_token'),
    ])
    hub.faults.login = 403
    expect(await home.failing('skopeo', ...inspect)).toContain('403')
    hub.heal()
    hub.faults.down = true
    expect(await home.failing('skopeo', ...inspect)).toMatch(/reset|EOF/)
    hub.heal()
    await home.skopeo(...inspect)
  })
})
