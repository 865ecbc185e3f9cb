import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { hasCommand, isRoot } from '../clients.ts'
import { run } from '../run.ts'
import { admin, ServerProcess } from '../server.ts'
import { Containerd } from './containerd.ts'
import { ContainersHome } from './containers-home.ts'
import { blobsOf, type Descriptor, type Image, OciLayout } from './images.ts'
import { Mirror } from './mirror.ts'

const isAble = isRoot() && ['containerd', 'ctr'].every(hasCommand)
const canMirror = isAble && ['docker-registry', 'skopeo'].every(hasCommand)
const user = ['--user', `${admin.username}:${admin.password}`]

describe.skipIf(!isAble)('containerd and hosted images', () => {
  let server: ServerProcess
  let containerd: Containerd
  let image: Image
  let second: Image
  let index: Descriptor

  beforeAll(async () => {
    server = await ServerProcess.start()
    await server.createOrganization('acme')
    await server.rest('POST', '/orgs', { username: 'hidden', visibility: 'private' })
    containerd = await Containerd.start()
    const layout = await OciLayout.create(join(containerd.directory, 'layout'))
    image = await layout.addImage({ text: 'one', padding: [1_500_000] })
    second = await layout.addImage({ text: 'two', architecture: 'arm64' })
    index = await layout.addIndex([image, second])
    await layout.tag('all', index)
    const tar = join(containerd.directory, 'images.tar')
    await run('tar', ['-C', layout.directory, '-cf', tar, '.'], { cwd: layout.directory, env: process.env })
  })
  beforeEach(async () => {
    await containerd.forgetAll()
    const options = ['--base-name', 'local/hello', '--all-platforms', '--no-unpack']
    await containerd.ctr('images', 'import', ...options, join(containerd.directory, 'images.tar'))
  })
  afterAll(async () => {
    await server?.dispose()
    await containerd?.dispose()
  })

  const push = (name: string, ...options: string[]): string[] => ['images', 'push', '--plain-http', ...options, name]

  test('pushes and pulls an image of two platforms', async () => {
    const name = `${server.host}/acme/all:v1`
    await containerd.ctr('images', 'tag', 'local/hello:all', name)
    await containerd.ctr(...push(name, ...user))
    await containerd.forgetAll()
    await containerd.pull(name, '--plain-http', '--all-platforms')
    expect(await containerd.digestOf(name)).toBe(index.digest)
    expect(await containerd.content()).toEqual(blobsOf(index, image, second))
  })

  test('pulls only what its platform needs', async () => {
    const name = `${server.host}/acme/part:v1`
    await containerd.ctr('images', 'tag', 'local/hello:all', name)
    await containerd.ctr(...push(name, ...user))
    await containerd.forgetAll()
    await containerd.pull(name, '--plain-http', '--platform', 'linux/arm64')
    expect(await containerd.content()).toEqual(blobsOf(index, second))
  })

  test('needs the right credentials, a password or a token', async () => {
    const name = `${server.host}/hidden/one:v1`
    const [reader, writer] = [await server.createToken(['read:package']), await server.createToken(['write:package'])]
    await containerd.ctr('images', 'tag', 'local/hello:all', name)
    for (const wrong of [[], ['--user', `${admin.username}:wrong`], ['--user', `${admin.username}:${reader}`]]) {
      expect(await containerd.failing(...push(name, ...wrong))).toMatch(/401|403|authorization|unauthorized|denied/i)
    }
    await containerd.ctr(...push(name, '--user', `${admin.username}:${writer}`))
    await containerd.forgetAll()
    await expect(containerd.pull(name, '--plain-http')).rejects.toThrow(/401|403|authorization/i)
    await containerd.pull(name, '--plain-http', '--user', `${admin.username}:${reader}`)
    expect(await containerd.digestOf(name)).toBe(index.digest)
  })
})

describe.skipIf(!canMirror)('containerd and the mirror', () => {
  const reference = 'docker.io/library/entrepot-hello:v1'
  let mirror: Mirror
  let containerd: Containerd
  let images: Image[]
  let index: Descriptor

  beforeAll(async () => {
    mirror = await Mirror.start()
    containerd = await Containerd.start()
    const home = await ContainersHome.create([{ insecure: mirror.registry.host }])
    const layout = await OciLayout.create(join(home.directory, 'layout'))
    images = [
      await layout.addImage({ text: 'one', padding: [1_500_000] }),
      await layout.addImage({ text: 'two', architecture: 'arm64' }),
    ]
    index = await layout.addIndex(images)
    await layout.tag('v1', index)
    const target = `docker://${mirror.registry.host}/library/entrepot-hello:v1`
    await home.skopeo('copy', '--all', layout.reference('v1'), target)
    await home.dispose()
  })
  beforeEach(() => containerd.forgetAll())
  afterAll(async () => {
    await mirror?.dispose()
    await containerd?.dispose()
  })

  async function expectPulled(name: string, ...options: string[]): Promise<void> {
    await containerd.pull(name, '--all-platforms', ...options)
    expect(await containerd.digestOf(name)).toBe(index.digest)
    expect(await containerd.content()).toEqual(blobsOf(index, ...images))
  }

  test.each([
    ['the owner', 'HOST/docker.io/library/entrepot-hello:v1'],
    ['the owner, name completed', 'HOST/docker.io/entrepot-hello:v1'],
    ['its alias', 'HOST/docker-hub/library/entrepot-hello:v1'],
  ])('is addressed by %s', async (_form, form) => {
    await expectPulled(form.replace('HOST', mirror.server.host), '--plain-http')
  })

  // A server that is the mirror itself: nothing else is asked when it fails.
  test.each([
    ['at the root, with ns', '[host."URL"]'],
    ['at its path before /v2', '[host."URL/mirror/docker.io"]'],
    ['at the path of its alias', '[host."URL/mirror/docker-hub"]'],
    ['at the owner below /v2', '[host."URL/v2/docker.io"]\noverride_path = true'],
  ])('is named in hosts.toml: %s', async (_form, host) => {
    const text = `server = "URL"\n${host}\ncapabilities = ["pull", "resolve"]\n`.replaceAll('URL', mirror.server.url)
    const directory = await containerd.hostsDirectory({ 'docker.io': text })
    await expectPulled(reference, '--hosts-dir', directory)
  })

  test('serves only registries that it mirrors', async () => {
    const text = `server = "URL"\n[host."URL"]\n`.replaceAll('URL', mirror.server.url)
    const directory = await containerd.hostsDirectory({ 'quay.io': text })
    const name = 'quay.io/library/entrepot-hello:v1'
    await expect(containerd.pull(name, '--hosts-dir', directory)).rejects.toThrow(/not found/)
  })

  test('serves what it holds when the upstream is gone', async () => {
    const { url } = mirror.server
    const directory = await containerd.hostsDirectory({ 'docker.io': `server = "${url}"\n[host."${url}"]\n` })
    await expectPulled(reference, '--hosts-dir', directory)
    await containerd.forgetAll()
    mirror.hub.faults.down = true
    await expectPulled(reference, '--hosts-dir', directory)
  })
})
