import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasCommand, isRoot } from '../clients.ts'
import { run } from '../run.ts'
import { admin, ServerProcess } from '../server.ts'
import { ContainersHome } from './containers-home.ts'
import { Dockerd } from './dockerd.ts'
import { type Image, OciLayout } from './images.ts'
import { Mirror } from './mirror.ts'

const isAble = isRoot() && ['dockerd', 'docker'].every(hasCommand)
const canMirror = isAble && ['docker-registry', 'skopeo'].every(hasCommand)

describe.skipIf(!isAble)('docker and hosted images', () => {
  let server: ServerProcess
  let dockerd: Dockerd

  beforeAll(async () => {
    server = await ServerProcess.start()
    await server.createOrganization('acme')
    await server.rest('POST', '/orgs', { username: 'hidden', visibility: 'private' })
    dockerd = await Dockerd.start()
    await writeFile(join(dockerd.directory, 'hello'), 'from docker\n')
    await run('tar', ['-cf', 'files.tar', 'hello'], { cwd: dockerd.directory, env: process.env })
  })
  afterAll(async () => {
    await server?.dispose()
    await dockerd?.dispose()
  })

  const make = (name: string): Promise<string> =>
    dockerd.docker('import', '--change', 'CMD ["/hello"]', join(dockerd.directory, 'files.tar'), name)

  test('refuses a wrong password at the login', async () => {
    await expect(dockerd.login(server.host, admin.username, 'wrong')).rejects.toThrow(/unauthorized|incorrect|denied/i)
  })

  test.each([
    ['a password', async () => admin.password],
    ['an access token', () => server.createToken(['write:package'])],
  ])('pushes and pulls after a login with %s', async (way, secretOf) => {
    const name = `${server.host}/hidden/${way.replaceAll(' ', '-')}:v1`
    const id = (await make(name)).trim()
    expect(await dockerd.failing('push', name)).toMatch(/unauthorized|denied|authentication/i)
    await dockerd.login(server.host, admin.username, await secretOf())
    await dockerd.docker('push', name)
    await dockerd.forget(name)
    await dockerd.docker('pull', name)
    expect((await dockerd.docker('image', 'inspect', '--format', '{{.Id}}', name)).trim()).toBe(id)
    await dockerd.docker('logout', server.host)
    await dockerd.forget(name)
    expect(await dockerd.failing('pull', name)).toMatch(/unauthorized|denied|authentication/i)
  })

  test('pushes a tag again, and the same layers to a second repository', async () => {
    const [first, second] = [`${server.host}/acme/first`, `${server.host}/acme/second`]
    await dockerd.login(server.host, admin.username, admin.password)
    await make(`${first}:v1`)
    await dockerd.docker('push', `${first}:v1`)
    expect(await dockerd.docker('push', `${first}:v1`)).toContain('Layer already exists')
    await dockerd.docker('tag', `${first}:v1`, `${second}:v1`)
    expect(await dockerd.docker('push', `${second}:v1`)).toContain('Mounted from acme/first')
    await dockerd.docker('logout', server.host)
    await dockerd.forget(`${first}:v1`, `${second}:v1`)
    await dockerd.docker('pull', `${second}:v1`)
  })
})

describe.skipIf(!canMirror)('docker and the mirror', () => {
  let mirror: Mirror
  let dockerd: Dockerd
  let image: Image

  beforeAll(async () => {
    mirror = await Mirror.start()
    // The mount: this host name is the mirror's own. Docker 20.10 takes no paths.
    dockerd = await Dockerd.start([`http://localhost:${mirror.server.port}`])
    const home = await ContainersHome.create([{ insecure: mirror.registry.host }])
    const layout = await OciLayout.create(join(home.directory, 'layout'))
    image = await layout.addImage({ text: 'one', padding: [1_500_000] })
    await layout.tag(
      'v1',
      await layout.addIndex([image, await layout.addImage({ text: 'two', architecture: 's390x' })]),
    )
    for (const name of ['library/entrepot-hello', 'someone/entrepot-tool']) {
      await home.skopeo('copy', '--all', layout.reference('v1'), `docker://${mirror.registry.host}/${name}:v1`)
    }
    await home.dispose()
  })
  afterAll(async () => {
    await mirror?.dispose()
    await dockerd?.dispose()
  })

  test.each([
    ['its registry-mirrors', 'entrepot-hello:v1'],
    ['its registry-mirrors, another namespace', 'someone/entrepot-tool:v1'],
    ['the owner', 'HOST/docker.io/library/entrepot-hello:v1'],
    ['the owner, name completed', 'HOST/docker.io/entrepot-hello:v1'],
    ['its alias', 'HOST/docker-hub/library/entrepot-hello:v1'],
  ])('is addressed by %s', async (_form, form) => {
    const reference = form.replace('HOST', mirror.server.host)
    await dockerd.docker('pull', '--platform', 'linux/amd64', reference)
    const id = await dockerd.docker('image', 'inspect', '--format', '{{.Id}}', reference)
    expect(id.trim()).toBe(image.config.digest)
    await dockerd.forget(reference)
  })

  test('serves those who are logged in at the upstream, whose credentials the daemon sends along', async () => {
    await dockerd.rememberLogin('https://index.docker.io/v1/', 'somebody', 'a password of the upstream')
    await dockerd.docker('pull', '--platform', 'linux/amd64', 'entrepot-hello:v1')
    await dockerd.forget('entrepot-hello:v1')
    expect(mirror.server.log).not.toContain('somebody')
  })

  test('serves what it holds when the upstream is gone', async () => {
    const pull = ['pull', '--platform', 'linux/amd64', 'entrepot-hello:v1']
    await dockerd.docker(...pull)
    await dockerd.forget('entrepot-hello:v1')
    mirror.hub.faults.down = true
    await dockerd.docker(...pull)
  })
})
