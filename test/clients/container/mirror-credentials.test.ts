import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { hasCommand } from '../clients.ts'
import { admin, basic } from '../server.ts'
import { ContainersHome } from './containers-home.ts'
import { blobsOf, type Image, OciLayout, readLayout } from './images.ts'
import { Mirror } from './mirror.ts'

const isAble = ['docker-registry', 'skopeo'].every(hasCommand)
const account = { username: 'ann', password: 'a password of the upstream' } as const

/** A mirror with an account at its upstream: what that may see, and who sees the account's password. */
describe.skipIf(!isAble)('a mirror with credentials', () => {
  let mirror: Mirror
  let home: ContainersHome
  let image: Image

  beforeAll(async () => {
    mirror = await Mirror.start(
      { auth: { kind: 'docker', usernameEnv: 'UPSTREAM_USERNAME', passwordEnv: 'UPSTREAM_PASSWORD' } },
      { UPSTREAM_USERNAME: account.username, UPSTREAM_PASSWORD: account.password },
    )
    mirror.hub.tokens.users.set(account.username, account.password)
    mirror.hub.tokens.privateRepositories.add('someone/secret')
    home = await ContainersHome.create([{ insecure: mirror.server.host }, { insecure: mirror.registry.host }])
    const layout = await OciLayout.create(join(home.directory, 'layout'))
    image = await layout.addImage({ text: 'secret', padding: [1_500_000] })
    await layout.tag('v1', image)
    await home.skopeo('copy', layout.reference('v1'), `docker://${mirror.registry.host}/someone/secret:v1`)
  })
  afterAll(async () => {
    await mirror?.dispose()
    await home?.dispose()
  })

  const name = 'docker.io/someone/secret:v1'

  test('shows what its account may see to those who may read the mirror', async () => {
    const creds = ['--src-creds', `${admin.username}:${admin.password}`]
    const copy = await readLayout(await home.download(`${mirror.server.host}/${name}`, ...creds))
    expect(copy).toEqual({ digest: image.digest, blobs: blobsOf(image) })
  })

  test('shows nothing of it to others, also when it is held', async () => {
    await mirror.server.createUser('stranger', 'a password of nobody else 1')
    const inspect = ['inspect', '--raw', `docker://${mirror.server.host}/${name}`]
    expect(await home.failing('skopeo', ...inspect)).toMatch(/unauthorized|denied/)
    const stranger = ['--creds', 'stranger:a password of nobody else 1']
    expect(await home.failing('skopeo', ...inspect, ...stranger)).toMatch(/unauthorized|denied|unknown/)
  })

  test('gives its password to the token server alone, and nobody gets the password of a user', () => {
    const withBasic = mirror.hub.requests.filter(({ authorization }) => authorization?.startsWith('Basic'))
    expect(new Set(withBasic.map(({ kind }) => kind))).toEqual(new Set(['token']))
    expect(new Set(withBasic.map(({ authorization }) => authorization))).toEqual(
      new Set([basic(account.username, account.password)]),
    )
    expect(mirror.hub.asked('cdn').filter(({ authorization }) => authorization !== null)).toEqual([])
    expect(mirror.server.log).not.toContain(account.password)
  })
})
