import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FakeContainerRegistry } from '../../support/fake-container-registry.ts'
import { basic, TestApp } from '../../support/test-app.ts'
import {
  askToken,
  bearer,
  getToken,
  postToken,
  readChallenge,
  readClaims,
  readError,
  readGrants,
  request,
  type TokenJson,
} from './token-client.ts'

const HUB = '127.0.0.1:8080/mirror/docker.io'
const PRIVATE = '127.0.0.1:8080/mirror/ghcr.io'
/** What a daemon sends that has an account at Docker Hub. */
const foreign = basic('somebody', 'password-at-docker-hub')

/** Mirrors that stand in for a registry: clients leave out the mirror's name (pull-through.md §1.1). */
describe('tokens for mounted mirrors', () => {
  let registry: FakeContainerRegistry
  let app: TestApp
  let ann: string

  beforeAll(async () => {
    registry = await FakeContainerRegistry.start()
    const common = { type: 'container', url: registry.url, allowPrivateNetwork: true }
    app = await TestApp.start({
      upstreams: {
        'docker-hub': {
          ...common,
          owner: 'docker.io',
          aliases: ['docker-hub'],
          serves: ['docker.io'],
          hosts: ['docker-io.mirror.example'],
          options: { defaultNamespace: 'library' },
        },
        ghcr: { ...common, owner: 'ghcr.io', serves: ['ghcr.io'] },
      },
    })
    ann = await app.createUser('ann')
    const owner = (await app.services.accounts.find('ghcr.io'))!
    await app.services.accounts.updateOrganization(owner, { visibility: 'private' })
  })
  afterAll(async () => {
    await app.close()
    await registry.close()
  })

  const challengeAt = async (url: string, host = '127.0.0.1:8080') => {
    const response = await app.inject({ method: 'GET', url, headers: { host, authorization: 'Bearer a.b.c' } })
    expect(response.statusCode).toBe(401)
    return readChallenge(response).parameters
  }
  const alpine = 'repository:library/alpine:pull'

  test('the challenge names the mount as service, and the repository as the client does', async () => {
    const path = 'v2/library/alpine/manifests/3'
    const expected = { realm: 'http://127.0.0.1:8080/v2/token', service: HUB, scope: alpine, error: 'invalid_token' }
    expect(await challengeAt(`/mirror/docker.io/${path}`)).toEqual(expected)
    expect(await challengeAt(`/${path}`, 'docker-io.mirror.example:8080')).toEqual(expected)
    expect(await challengeAt(`/${path}?ns=docker.io`)).toEqual(expected)
    expect(await challengeAt(`/${path}`)).toMatchObject({ service: '127.0.0.1:8080', scope: alpine })
    expect(await challengeAt('/v2/docker.io/library/alpine/tags/list?ns=docker.io')).toMatchObject({
      service: '127.0.0.1:8080',
      scope: 'repository:docker.io/library/alpine:pull',
    })
  })

  test('/v2/ of a mount asks everybody for a token, as the one at the root does', async () => {
    for (const [url, host] of [
      ['/mirror/docker.io/v2/', '127.0.0.1:8080'],
      ['/mirror/docker.io/v2', '127.0.0.1:8080'],
      ['/v2/', 'docker-io.mirror.example'],
    ] as const) {
      const response = await app.inject({ method: 'GET', url, headers: { host } })
      expect(response.statusCode).toBe(401)
      expect(readChallenge(response).parameters).toEqual({ realm: 'http://127.0.0.1:8080/v2/token', service: HUB })
      for (const authorization of [ann, await bearer(app, null, [], { service: HUB })]) {
        expect((await app.inject({ method: 'GET', url, headers: { host, authorization } })).statusCode).toBe(200)
      }
    }
  })

  test('scopes for a mount are granted on the mirror, under the name that its upstream knows', async () => {
    const scopes = ['repository:library/alpine:pull,push', 'repository:redis:pull', 'repository:a/b/c:pull']
    const { token } = await getToken(app, null, scopes, { service: HUB })
    expect(readGrants(token)).toEqual([
      'docker.io/library/alpine:pull',
      'docker.io/library/redis:pull',
      'docker.io/a/b/c:pull',
    ])
    const { scope } = (await postToken(app, { service: HUB, scope: scopes[1]! }, ann)).json() as TokenJson
    expect(scope).toBe('repository:redis:pull')
    // Elsewhere the first component is an owner, by its name or an alias.
    const direct = ['repository:docker-hub/redis:pull', 'repository:docker.io/library/alpine:pull', alpine]
    expect(readGrants((await getToken(app, null, direct)).token)).toEqual([
      'docker.io/library/redis:pull',
      'docker.io/library/alpine:pull',
    ])
  })

  test('a token is good for the repository in all of its names, and for no other', async () => {
    const authorization = await bearer(app, null, 'repository:redis:pull', { service: HUB })
    const names = ['/mirror/docker.io/v2/redis', '/mirror/docker-hub/v2/library/redis', '/v2/docker.io/redis']
    for (const name of [...names, '/v2/docker-hub/library/redis']) {
      const response = await request(app, 'GET', `${name}/tags/list`, authorization)
      expect(readError(response), name).toMatchObject({ status: 404 })
    }
    expect((await request(app, 'GET', '/mirror/docker.io/v2/alpine/tags/list', authorization)).statusCode).toBe(401)
  })

  test('credentials of another registry are none at a public mirror', async () => {
    const answers = [
      await askToken(app, foreign, alpine, { service: HUB, offline_token: 'true' }),
      await postToken(app, { service: HUB, scope: alpine, grant_type: 'password', username: 'x', password: 'y' }),
      await postToken(app, {
        service: HUB,
        scope: alpine,
        grant_type: 'refresh_token',
        refresh_token: 'of-docker-hub',
      }),
    ]
    for (const response of answers) {
      expect(response.statusCode).toBe(200)
      const answer = response.json() as TokenJson
      expect(readClaims(answer.token).claims).toMatchObject({ sub: '' })
      expect(readGrants(answer.token)).toEqual(['docker.io/library/alpine:pull'])
      expect(answer).not.toHaveProperty('refresh_token')
    }
  })

  test('credentials of ours count there', async () => {
    const { token } = await getToken(app, ann, alpine, { service: HUB })
    expect(readClaims(token).claims['sub']).not.toBe('')
    const actions = await getToken(app, app.admin, 'repository:library/alpine:pull,push,delete', { service: HUB })
    expect(readGrants(actions.token)).toEqual(['docker.io/library/alpine:pull,delete'])
  })

  test('credentials of another registry are wrong everywhere else', async () => {
    const services = [
      '127.0.0.1:8080',
      '',
      PRIVATE,
      '127.0.0.1:8080/mirror/none',
      `${HUB}/more`,
      'docker.io',
      '/mirror/x',
    ]
    for (const service of services) {
      const response = await askToken(app, foreign, alpine, { service })
      expect(readError(response), service).toMatchObject({ status: 401, code: 'UNAUTHORIZED' })
    }
  })

  test('a private mirror is granted to those who may read it, and looks to others as if it were not there', async () => {
    const scope = 'repository:org/app:pull'
    const of = async (authorization: string | null, mirror: string) =>
      readGrants((await getToken(app, authorization, scope, { service: `127.0.0.1:8080/mirror/${mirror}` })).token)
    expect(await of(app.admin, 'ghcr.io')).toEqual(['ghcr.io/org/app:pull'])
    for (const authorization of [ann, null]) {
      for (const mirror of ['ghcr.io', 'none.io']) expect(await of(authorization, mirror)).toEqual([])
    }
    const statuses = { anonymous: null, ann, token: await bearer(app, ann, scope, { service: PRIVATE }) }
    for (const authorization of Object.values(statuses)) {
      for (const path of ['v2/org/app/tags/list', 'v2/org/app/manifests/sha256:x', 'v2/']) {
        const [one, other] = await Promise.all(
          ['ghcr.io', 'none.io'].map(async (mirror) => {
            const { statusCode, headers, body } = await request(app, 'GET', `/mirror/${mirror}/${path}`, authorization)
            const { date: _date, ...rest } = headers
            return JSON.stringify([statusCode, rest, body]).replaceAll(mirror, '…')
          }),
        )
        expect(one).toBe(other)
      }
    }
  })

  test('nobody pushes to a mirror, whatever the token; a private one does not say that it is one', async () => {
    const push = 'repository:library/alpine:pull,push'
    const tokens = [null, app.admin, await bearer(app, app.admin, push, { service: HUB })]
    for (const authorization of tokens) {
      const response = await request(app, 'POST', '/mirror/docker.io/v2/library/alpine/blobs/uploads/', authorization)
      expect(readError(response)).toMatchObject({ status: 405, code: 'UNSUPPORTED' })
    }
    expect((await request(app, 'POST', '/v2/ghcr.io/org/app/blobs/uploads/', null)).statusCode).toBe(401)
    expect((await request(app, 'POST', '/v2/ghcr.io/org/app/blobs/uploads/', ann)).statusCode).toBe(404)
  })
})
