import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasCommand } from '../clients.ts'
import { admin, ServerProcess } from '../server.ts'
import { ContainersHome } from './containers-home.ts'

const isAble = hasCommand('buildah')
const credentials = `${admin.username}:${admin.password}`

describe.skipIf(!isAble)('buildah', () => {
  let server: ServerProcess
  let home: ContainersHome

  beforeAll(async () => {
    server = await ServerProcess.start()
    await server.createOrganization('acme')
    home = await ContainersHome.create([{ insecure: server.host }])
    await mkdir(join(home.directory, 'files'))
    await writeFile(join(home.directory, 'files/hello'), 'from buildah\n')
  })
  afterAll(async () => {
    await server?.dispose()
    await home?.dispose()
  })

  test('builds an image, pushes it, and builds another one upon it', async () => {
    const base = `${server.host}/acme/base:v1`
    await build('scratch', base, 'hello')
    await home.emptyStore()

    await writeFile(join(home.directory, 'files/more'), 'and more\n')
    const child = `${server.host}/acme/child:v1`
    await build(base, child, 'more')
    await home.emptyStore()

    const id = (await home.buildah('pull', '--quiet', child)).trim()
    const { OCIv1: image } = JSON.parse(await home.buildah('inspect', '--type', 'image', id))
    expect(image.config.Cmd).toEqual(['/more'])
    expect(image.rootfs.diff_ids).toHaveLength(2)
  })

  test('pushes to a second repository, whose layers the server has', async () => {
    await home.emptyStore()
    const base = `${server.host}/acme/base:v1`
    await home.buildah('pull', '--quiet', base)
    await home.buildah('push', '--creds', credentials, base, `docker://${server.host}/acme/elsewhere:v1`)
    await home.emptyStore()
    await home.buildah('pull', '--quiet', `${server.host}/acme/elsewhere:v1`)
  })

  async function build(from: string, name: string, file: string): Promise<void> {
    const container = (await home.buildah('from', '--quiet', from)).trim()
    await home.buildah('copy', '--quiet', container, join(home.directory, 'files', file), `/${file}`)
    await home.buildah('config', '--cmd', `/${file}`, container)
    await home.buildah('commit', '--quiet', '--rm', container, name)
    await home.buildah('push', '--creds', credentials, name)
  }
})
