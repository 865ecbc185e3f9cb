import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { CONTAINER, MANIFEST_FILE } from '../../../src/package-types/container/names.ts'
import { TestApp } from '../../support/test-app.ts'
import { digestOf, Pusher } from './pusher.ts'
import { bearer } from './token-client.ts'

let app: TestApp
let alice: string
let target: Pusher
let counter = 0

beforeAll(async () => {
  app = await TestApp.start({
    upstreams: {
      hub: { type: CONTAINER, owner: 'hub', aliases: ['docker-hub'], url: 'https://registry.example', options: {} },
    },
  })
  alice = await app.createUser('alice')
  await app.createUser('bob')
  for (const visibility of ['public', 'limited', 'private']) {
    await app.createOrganization(visibility, app.admin, visibility)
  }
})

afterAll(() => app.close())

/** A repository of alice that does not exist yet. */
const fresh = () => new Pusher(app, `alice/target-${counter++}`, alice)

/** Mounts into a fresh repository and looks whether the blob is there. */
async function mount(query: string, authorization = alice): Promise<boolean> {
  target = new Pusher(app, fresh().repository, authorization)
  const response = await target.post(query, { 'content-length': '0' })
  const digest = new URLSearchParams(query).get('mount')!
  const found = await new Pusher(app, target.repository, alice).send('GET', target.urlOf(digest))
  if (response.statusCode === 201) {
    expect(response.headers).toMatchObject({ location: target.urlOf(digest), 'docker-content-digest': digest })
    expect(found.statusCode).toBe(200)
    expect(digestOf(found.rawPayload, digest.startsWith('sha512') ? 'sha512' : 'sha256')).toBe(digest)
    return true
  }
  expect(response.statusCode, response.body).toBe(202)
  expect(found.statusCode).not.toBe(200)
  const location = response.headers.location as string
  expect(location).toBe(`/v2/${target.repository}/blobs/uploads/${response.headers['docker-upload-uuid']}`)
  const uploaded = await target.put(location, digestOf('instead'), 'instead')
  expect(uploaded.statusCode).toBe(201)
  return false
}

const pushTo = (repository: string, bytes: Buffer | string = randomBytes(50)) =>
  new Pusher(app, repository, app.admin).push(bytes)

describe('a mount', () => {
  it('makes the blob of another repository one of this one, without its bytes', async () => {
    const digest = await pushTo('public/app')
    expect(await mount(`?mount=${digest}&from=public/app`)).toBe(true)
    expect(await app.services.models.packageBlob.count({ where: { hashSha256: digest.slice(7) } })).toBe(1)
  })

  it('understands encoded parameters, any owner’s spelling, and SHA-512', async () => {
    const bytes = randomBytes(50)
    const digest = await pushTo('public/team/app', bytes)
    const from = encodeURIComponent('public/team/app')
    expect(await mount(`?from=${from}&mount=${encodeURIComponent(digest)}`)).toBe(true)
    expect(await mount(`?mount=${digestOf(bytes, 'sha512')}&from=public/team/app`)).toBe(true)
  })

  it('works of a blob that a manifest names', async () => {
    const source = new Pusher(app, 'public/image', app.admin)
    const digest = await source.push('named layer')
    await source.pushImage('1', [{ digest, size: 11 }])
    expect(await mount(`?mount=${digest}&from=public/image`)).toBe(true)
  })

  it('twice, or into the repository that has it, is 201', async () => {
    const one = fresh()
    const digest = await pushTo('public/app')
    for (const from of ['public/app', 'public/app', one.repository]) {
      expect((await one.post(`?mount=${digest}&from=${from}`)).statusCode).toBe(201)
    }
  })

  it('makes what is there stay for another day', async () => {
    const digest = await pushTo('public/app')
    const one = fresh()
    await one.post(`?mount=${digest}&from=public/app`)
    app.clock.advance(23 * 3_600_000)
    await one.post(`?mount=${digest}&from=public/app`)
    app.clock.advance(2 * 3_600_000)
    await app.services.packages.collectGarbage()
    expect((await one.send('HEAD', one.urlOf(digest))).statusCode).toBe(200)
  })

  it.each([
    ['an unknown digest', () => `?mount=${digestOf('unknown')}&from=public/app`],
    ['an unknown digest, from anywhere', () => `?mount=${digestOf('unknown')}`],
    ['a repository that is not there', () => `?mount=${digestOf('public')}&from=public/none`],
    ['an owner that is not there', () => `?mount=${digestOf('public')}&from=nobody/app`],
    ['an owner alone', () => `?mount=${digestOf('public')}&from=public`],
    ['a name that cannot be', () => `?mount=${digestOf('public')}&from=..%2F..%2Fpublic%2Fapp`],
    ['two sources', () => `?mount=${digestOf('public')}&from=public/app&from=public/app`],
  ])('of %s begins an upload instead', async (_what, query) => {
    await pushTo('public/app', 'public')
    expect(await mount(query())).toBe(false)
  })

  it.each(['', 'latest', 'sha256:abc', `md5:${'a'.repeat(32)}`, `sha256:${'a'.repeat(64)}&mount=x`])(
    'of the digest %j begins an upload instead',
    async (digest) => {
      const response = await fresh().post(`?mount=${digest}&from=public/app`)
      expect(response.statusCode).toBe(202)
    },
  )

  it('of a blob whose content is lost begins an upload instead', async () => {
    const digest = await pushTo('public/app')
    await app.services.packages.blobs.delete(digest.slice(7))
    expect(await mount(`?mount=${digest}&from=public/app`)).toBe(false)
  })

  it('is for those who may push', async () => {
    const digest = await pushTo('public/app')
    const url = `/v2/alice/app/blobs/uploads/?mount=${digest}&from=public/app`
    const anonymous = await app.inject({ method: 'POST', url })
    expect(anonymous.statusCode).toBe(401)
    expect(anonymous.headers['www-authenticate']).toContain('repository:public/app:pull')
    const bob = new Pusher(app, 'alice/app', await app.createUser('carol'))
    expect((await bob.post(`?mount=${digest}&from=public/app`)).statusCode).toBe(403)
  })
})

describe('a source', () => {
  it.each([
    ['public', true],
    ['limited', true],
    ['private', false],
  ])('of a %s owner: %s', async (owner, isMounted) => {
    const digest = await pushTo(`${owner}/app`)
    expect(await mount(`?mount=${digest}&from=${owner}/app`)).toBe(isMounted)
    expect(await mount(`?mount=${digest}`)).toBe(isMounted)
  })

  it('must have the blob itself: that somebody else has it is not enough', async () => {
    const digest = await pushTo('private/app')
    await pushTo('public/other')
    expect(await mount(`?mount=${digest}&from=public/other`)).toBe(false)
  })

  it('that is not named is found among all that may be read', async () => {
    const bytes = randomBytes(50)
    const digest = await pushTo('private/app', bytes)
    expect(await mount(`?mount=${digest}`)).toBe(false)
    await pushTo('public/late', bytes)
    expect(await mount(`?mount=${digest}`)).toBe(true)
  })

  it('opens only as far as the token: public-only', async () => {
    const token = await app.createToken('alice', ['public-only', 'write:package'], alice)
    const [open, limited] = [await pushTo('public/app'), await pushTo('limited/app')]
    expect(await mount(`?mount=${open}&from=public/app`, `Bearer ${token}`)).toBe(true)
    expect(await mount(`?mount=${limited}&from=limited/app`, `Bearer ${token}`)).toBe(false)
    expect(await mount(`?mount=${limited}`, `Bearer ${token}`)).toBe(false)
  })

  it('must be named by a registry token, unless everybody may read it', async () => {
    const [open, closed] = [await pushTo('public/app'), await pushTo('limited/app')]
    const into = () => `repository:alice/target-${counter}:pull,push`
    expect(await mount(`?mount=${open}&from=public/app`, await bearer(app, alice, into()))).toBe(true)
    expect(await mount(`?mount=${open}`, await bearer(app, alice, into()))).toBe(true)
    expect(await mount(`?mount=${closed}&from=limited/app`, await bearer(app, alice, into()))).toBe(false)
    expect(await mount(`?mount=${closed}`, await bearer(app, alice, into()))).toBe(false)
    const both = await bearer(app, alice, [into(), 'repository:limited/app:pull'])
    expect(await mount(`?mount=${closed}&from=limited/app`, both)).toBe(true)
  })

  describe('that is a mirror', () => {
    /** What is cached of an image: its manifest and one layer. */
    const cache = async (name: string, bytes: string) => {
      const { packages, accounts } = app.services
      const owner = (await accounts.find('hub'))!
      const enter = async (text: string) => {
        const entry = packages.spool.create()
        await entry.append(Buffer.from(text))
        await entry.finish()
        return entry
      }
      const digest = digestOf(bytes)
      const info = { owner, type: CONTAINER, name, version: digestOf(`manifest of ${name} ${bytes}`) }
      await packages.addCachedFile(info, { filename: MANIFEST_FILE, content: await enter(name), isLead: true })
      const filename = digest.replace(':', '_')
      const file = { filename, compositeKey: digest, content: await enter(bytes), isLead: false }
      await packages.addCachedFile(info, file)
      return digest
    }
    const setVisibility = async (visibility: 'public' | 'private') => {
      const { accounts } = app.services
      await accounts.ensureMirror('hub', (await accounts.find('hub'))!.description, visibility)
    }

    it('may be read by everybody, by its alias too, and only for what that very repository has', async () => {
      const digest = await cache('library/alpine', 'cached')
      expect(await mount(`?mount=${digest}&from=hub/library/alpine`)).toBe(true)
      expect(await mount(`?mount=${digest}&from=docker-hub/library/alpine`)).toBe(true)
      expect(await mount(`?mount=${digest}&from=hub/library/other`)).toBe(false)
    })

    it('is closed when an administrator has blocked it', async () => {
      const digest = await cache('library/alpine', 'blocked')
      await app.services.upstream.setMode('hub', 'blocked')
      expect(await mount(`?mount=${digest}&from=hub/library/alpine`)).toBe(false)
      expect(await mount(`?mount=${digest}`)).toBe(false)
      await app.services.upstream.setMode('hub', 'offline')
      expect(await mount(`?mount=${digest}&from=hub/library/alpine`)).toBe(true)
      await app.services.upstream.setMode('hub', 'online')
    })

    it('is not for those who may not read it', async () => {
      const digest = await cache('library/alpine', 'private')
      await setVisibility('private')
      expect(await mount(`?mount=${digest}&from=hub/library/alpine`)).toBe(false)
      expect(await mount(`?mount=${digest}`)).toBe(false)
      await setVisibility('public')
    })

    it('takes no uploads', async () => {
      const admin = new Pusher(app, 'hub/library/alpine', app.admin)
      expect((await admin.post()).statusCode).toBe(405)
    })
  })
})
