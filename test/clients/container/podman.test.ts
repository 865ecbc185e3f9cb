import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { hasCommand } from '../clients.ts'
import { admin, ServerProcess } from '../server.ts'
import { ContainersHome } from './containers-home.ts'
import { type Descriptor, type Image, OciLayout, readLayout } from './images.ts'
import { Mirror } from './mirror.ts'

const isAble = ['podman', 'skopeo'].every(hasCommand)
const canMirror = isAble && hasCommand('docker-registry')

describe.skipIf(!isAble)('podman and hosted images', () => {
  let server: ServerProcess
  let home: ContainersHome
  let image: Image
  let local: string

  beforeAll(async () => {
    server = await ServerProcess.start()
    await server.rest('POST', '/orgs', { username: 'hidden', visibility: 'private' })
    home = await ContainersHome.create([{ insecure: server.host }])
    const layout = await OciLayout.create(join(home.directory, 'layout'))
    image = await layout.addImage({ text: 'one', padding: [1_500_000] })
    await layout.tag('one', image)
    local = layout.reference('one')
  })
  afterAll(async () => {
    await server?.dispose()
    await home?.dispose()
  })

  async function login(password: string): Promise<void> {
    await home.podman('login', '--username', admin.username, '--password', password, server.host)
  }

  test.each([
    ['a password', async () => admin.password],
    ['an access token', () => server.createToken(['write:package'])],
  ])('pushes and pulls after a login with %s', async (way, secretOf) => {
    const name = `${server.host}/hidden/${way.replaceAll(' ', '-')}:v1`
    const id = image.config.digest.replace('sha256:', '')
    await home.skopeo('copy', local, 'containers-storage:localhost/one')
    expect(await home.failing('podman', 'push', id, name)).toMatch(/unauthorized|denied/)
    await login(await secretOf())
    await home.podman('push', id, name)
    await home.emptyStore()
    expect((await home.podman('pull', '--quiet', name)).trim()).toBe(id)
    await home.podman('logout', server.host)
    await home.emptyStore()
    expect(await home.failing('podman', 'pull', name)).toMatch(/unauthorized|denied/)
  })

  test('refuses a wrong password at the login', async () => {
    await expect(login('wrong')).rejects.toThrow(/invalid username\/password|unauthorized/)
  })

  test('pushes a manifest list of two platforms', async () => {
    await login(admin.password)
    const layout = await OciLayout.create(join(home.directory, 'platforms'))
    for (const architecture of ['amd64', 'arm64']) {
      await layout.tag(architecture, await layout.addImage({ text: architecture, architecture }))
      await home.skopeo('copy', layout.reference(architecture), `docker://${server.host}/hidden/many:${architecture}`)
    }
    await home.podman('manifest', 'create', 'many')
    for (const tag of ['amd64', 'arm64']) {
      await home.podman('manifest', 'add', 'many', `docker://${server.host}/hidden/many:${tag}`)
    }
    await home.podman('manifest', 'push', '--all', 'many', `docker://${server.host}/hidden/many:all`)
    const { blobs } = await readLayout(await home.download(`${server.host}/hidden/many:all`))
    expect(blobs).toHaveLength(1 + 2 * 3)
    await home.podman('logout', server.host)
  })
})

describe.skipIf(!canMirror)('podman and the mirror', () => {
  let mirror: Mirror
  let home: ContainersHome
  let image: Image
  let index: Descriptor

  beforeAll(async () => {
    mirror = await Mirror.start()
    home = await ContainersHome.create([
      { insecure: mirror.server.host },
      { insecure: mirror.registry.host },
      { prefix: 'docker.io', mirror: `${mirror.server.host}/docker.io` },
    ])
    const layout = await OciLayout.create(join(home.directory, 'layout'))
    image = await layout.addImage({ text: 'one', padding: [1_500_000] })
    index = await layout.addIndex([image, await layout.addImage({ text: 'two', architecture: 'arm64' })])
    await layout.tag('v1', index)
    const target = `docker://${mirror.registry.host}/library/entrepot-hello:v1`
    await home.skopeo('copy', '--all', layout.reference('v1'), target)
  })
  beforeEach(() => home.emptyStore())
  afterAll(async () => {
    await mirror?.dispose()
    await home?.dispose()
  })

  test.each([
    ['the owner', 'HOST/docker.io/library/entrepot-hello:v1'],
    ['the owner, name completed', 'HOST/docker.io/entrepot-hello:v1'],
    ['its alias', 'HOST/docker-hub/library/entrepot-hello:v1'],
    ['registries.conf', 'docker.io/library/entrepot-hello:v1'],
    ['registries.conf, a short name', 'docker.io/entrepot-hello:v1'],
  ])('is addressed by %s', async (_form, form) => {
    const reference = form.replace('HOST', mirror.server.host)
    const id = await home.podman('pull', '--quiet', '--arch', 'amd64', reference)
    expect(`sha256:${id.trim()}`).toBe(image.config.digest)
  })

  test('is addressed by a digest', async () => {
    const reference = `docker.io/library/entrepot-hello@${index.digest}`
    const id = await home.podman('pull', '--quiet', '--arch', 'amd64', reference)
    expect(`sha256:${id.trim()}`).toBe(image.config.digest)
  })

  test('serves what it holds when the upstream is gone', async () => {
    const reference = 'docker.io/library/entrepot-hello:v1'
    await home.podman('pull', '--quiet', '--arch', 'amd64', reference)
    await home.emptyStore()
    mirror.hub.faults.down = true
    const id = await home.podman('pull', '--quiet', '--arch', 'amd64', reference)
    expect(`sha256:${id.trim()}`).toBe(image.config.digest)
  })
})
