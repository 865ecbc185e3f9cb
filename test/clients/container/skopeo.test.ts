import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { hasCommand } from '../clients.ts'
import { admin, ServerProcess } from '../server.ts'
import { ContainersHome } from './containers-home.ts'
import { blobsOf, type Descriptor, type Image, OciLayout, readLayout } from './images.ts'
import { Mirror } from './mirror.ts'

const isAble = hasCommand('skopeo')
const canMirror = isAble && hasCommand('docker-registry')
const credentials = `${admin.username}:${admin.password}`

describe.skipIf(!isAble)('skopeo and hosted images', () => {
  let server: ServerProcess
  let home: ContainersHome
  let layout: OciLayout
  let image: Image
  let second: Image
  let index: Descriptor

  beforeAll(async () => {
    server = await ServerProcess.start()
    await server.createOrganization('acme')
    await server.rest('POST', '/orgs', { username: 'hidden', visibility: 'private' })
    home = await ContainersHome.create([{ insecure: server.host }])
    layout = await OciLayout.create(join(home.directory, 'layout'))
    image = await layout.addImage({ text: 'one', padding: [1_500_000, 10] })
    second = await layout.addImage({ text: 'two', architecture: 'arm64' })
    index = await layout.addIndex([image, second])
    await layout.tag('one', image)
    await layout.tag('all', index)
  })
  afterAll(async () => {
    await server?.dispose()
    await home?.dispose()
  })

  const at = (name: string): string => `docker://${server.host}/${name}`
  const push = (tag: string, name: string, ...options: string[]): Promise<string> =>
    home.skopeo('copy', '--all', '--dest-creds', credentials, ...options, layout.reference(tag), at(name))

  test('an image goes in and comes out the same', async () => {
    await push('one', 'acme/one:v1', '--preserve-digests')
    const copy = await readLayout(await home.download(`${server.host}/acme/one:v1`))
    expect(copy).toEqual({ digest: image.digest, blobs: blobsOf(image) })
    await home.download(`${server.host}/acme/one@${image.digest}`)
  })

  test('so does one of several platforms, whole and in part', async () => {
    await push('all', 'acme/deep/er/all:v1', '--preserve-digests')
    const copy = await readLayout(await home.download(`${server.host}/acme/deep/er/all:v1`))
    expect(copy).toEqual({ digest: index.digest, blobs: blobsOf(index, image, second) })
    const part = join(home.directory, 'arm64')
    await home.skopeo('--override-arch', 'arm64', 'copy', at('acme/deep/er/all:v1'), `oci:${part}:x`)
    expect(await readLayout(part)).toEqual({ digest: second.digest, blobs: blobsOf(second) })
  })

  test.each([
    ['zstd', ['--dest-compress-format', 'zstd', '--dest-compress'], 'oci.image.layer.v1.tar+zstd'],
    ['gzip', ['--dest-compress-format', 'gzip', '--dest-compress'], 'oci.image.layer.v1.tar+gzip'],
    ['docker', ['--format', 'v2s2'], 'docker.image.rootfs.diff.tar.gzip'],
  ])('layers are kept as they are sent: %s', async (name, options, type) => {
    await layout.tag(name, await layout.addImage({ text: name, padding: [200_000], gzip: false }))
    await push(name, `acme/${name}:v1`, ...options)
    const manifest = JSON.parse(await home.skopeo('inspect', '--raw', at(`acme/${name}:v1`)))
    expect(manifest.layers.map((layer: Descriptor) => layer.mediaType)).toEqual(
      Array(2).fill(`application/vnd.${type}`),
    )
    const digests = [manifest.config, ...manifest.layers].map((descriptor: Descriptor) => descriptor.digest)
    // `dir:` keeps the manifest as it is, whatever its format; skopeo compares all blobs with their digests.
    await home.skopeo('copy', at(`acme/${name}:v1`), `dir:${join(home.directory, `dir-${name}`)}`)
    expect(digests).toHaveLength(3)
  })

  test('tags differ in case, are listed in byte order, and are moved', async () => {
    for (const tag of ['v1', 'V1', 'latest']) await push('one', `acme/tags:${tag}`)
    await push('all', 'acme/tags:v1')
    expect(JSON.parse(await home.skopeo('list-tags', at('acme/tags'))).Tags).toEqual(['V1', 'latest', 'v1'])
    expect((await readLayout(await home.download(`${server.host}/acme/tags:v1`))).digest).toBe(index.digest)
    expect((await readLayout(await home.download(`${server.host}/acme/tags:V1`))).digest).toBe(image.digest)
  })

  test('copies within the server, and deletes', async () => {
    const options = ['--src-creds', credentials, '--dest-creds', credentials]
    await push('one', 'acme/source:v1')
    await home.skopeo('copy', ...options, at('acme/source:v1'), at('acme/target:v2'))
    await home.skopeo('delete', '--creds', credentials, at('acme/source:v1'))
    expect(await home.failing('skopeo', 'inspect', at('acme/source:v1'))).toContain('manifest unknown')
    expect((await readLayout(await home.download(`${server.host}/acme/target:v2`))).blobs).toEqual(blobsOf(image))
  })

  test('who may do what: nobody, a reader, a writer, a wrong password', async () => {
    const [reader, writer] = [await server.createToken(['read:package']), await server.createToken(['write:package'])]
    const name = at('hidden/one:v1')
    const copy = (creds: string): string[] => ['copy', '--dest-creds', creds, layout.reference('one'), name]
    for (const creds of [`${admin.username}:wrong`, `${admin.username}:${reader}`]) {
      expect(await home.failing('skopeo', ...copy(creds))).toMatch(/unauthorized|denied/)
    }
    expect(await home.failing('skopeo', 'copy', layout.reference('one'), name)).toMatch(/unauthorized|denied/)
    await home.skopeo(...copy(`${admin.username}:${writer}`))
    await home.skopeo('inspect', '--creds', `${admin.username}:${reader}`, name)
    expect(await home.failing('skopeo', 'inspect', name)).toMatch(/unauthorized|denied/)
  })

  test('a login is kept in the authentication file until the logout', async () => {
    const login = (password: string): string[] => ['login', '--username', admin.username, '--password', password]
    expect(await home.failing('skopeo', ...login('wrong'), server.host)).toMatch(/unauthorized|invalid/)
    await home.skopeo(...login(admin.password), server.host)
    await home.skopeo('copy', layout.reference('one'), at('hidden/by-login:v1'))
    await home.skopeo('inspect', at('hidden/by-login:v1'))
    await home.skopeo('logout', server.host)
    expect(await home.failing('skopeo', 'inspect', at('hidden/by-login:v1'))).toMatch(/unauthorized|denied/)
  })
})

describe.skipIf(!canMirror)('skopeo and the mirror', () => {
  let mirror: Mirror
  let home: ContainersHome
  let index: Descriptor
  let images: Image[]

  beforeAll(async () => {
    mirror = await Mirror.start()
    home = await ContainersHome.create([
      { insecure: mirror.server.host },
      { insecure: mirror.registry.host },
      { prefix: 'docker.io', mirror: `${mirror.server.host}/docker.io` },
    ])
    const layout = await OciLayout.create(join(home.directory, 'layout'))
    images = [
      await layout.addImage({ text: 'one', padding: [1_500_000] }),
      await layout.addImage({ text: 'two', architecture: 'arm64' }),
    ]
    index = await layout.addIndex(images)
    await layout.tag('v1', index)
    for (const name of ['library/entrepot-hello', 'someone/entrepot-tool']) {
      await home.skopeo('copy', '--all', layout.reference('v1'), `docker://${mirror.registry.host}/${name}:v1`)
    }
  })
  beforeEach(() => mirror.hub.forget())
  afterAll(async () => {
    await mirror?.dispose()
    await home?.dispose()
  })

  test('fetches each blob once, without credentials for the CDN', async () => {
    await home.download(`${mirror.server.host}/docker.io/library/entrepot-hello:v1`)
    for (const { config, layers } of images) {
      for (const { digest } of [config, ...layers])
        expect([digest, mirror.hub.count('cdn', 'GET', digest)]).toEqual([digest, 1])
    }
    expect(mirror.hub.asked('cdn').filter(({ method, authorization }) => method !== 'GET' || authorization)).toEqual([])
    mirror.hub.forget()
    await home.download(`${mirror.server.host}/docker.io/library/entrepot-hello:v1`)
    expect(mirror.hub.requests).toEqual([])
  })

  test.each([
    ['the owner', 'HOST/docker.io/library/entrepot-hello:v1'],
    ['the owner, name completed', 'HOST/docker.io/entrepot-hello:v1'],
    ['its alias', 'HOST/docker-hub/library/entrepot-hello:v1'],
    ['its alias, name completed', 'HOST/docker-hub/entrepot-hello:v1'],
    ['registries.conf', 'docker.io/library/entrepot-hello:v1'],
    ['registries.conf, a short name', 'docker.io/entrepot-hello:v1'],
    ['registries.conf, another namespace', 'docker.io/someone/entrepot-tool:v1'],
  ])('is addressed by %s', async (_form, reference) => {
    const copy = await readLayout(await home.download(reference.replace('HOST', mirror.server.host)))
    expect(copy).toEqual({ digest: index.digest, blobs: blobsOf(index, ...images) })
  })

  test('lists the tags of the upstream', async () => {
    const tags = await home.skopeo('list-tags', `docker://${mirror.server.host}/docker.io/entrepot-hello`)
    expect(JSON.parse(tags).Tags).toEqual(['v1'])
  })

  test('takes nothing in', async () => {
    const from = `docker://${mirror.registry.host}/library/entrepot-hello:v1`
    const to = `docker://${mirror.server.host}/docker.io/library/entrepot-pushed:v1`
    await home.failing('skopeo', 'copy', '--dest-creds', credentials, from, to)
    const unknown = `docker://${mirror.server.host}/docker.io/library/entrepot-pushed:v1`
    expect(await home.failing('skopeo', 'inspect', unknown)).toMatch(/unknown/)
  })
})
