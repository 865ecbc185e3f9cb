import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { anonymous } from '../../src/auth/doer.ts'
import type { Owner } from '../../src/auth/owner.ts'
import { ConfigError } from '../../src/config/config.ts'
import { Invalid, NotFound, UpstreamUnavailable } from '../../src/errors.ts'
import type { DocumentRequest, UpstreamAdapter } from '../../src/upstream/adapter.ts'
import { FakeUpstream } from '../support/fake-upstream.ts'
import { TestEngine } from '../support/test-engine.ts'

let fake: FakeUpstream
let engine: TestEngine
let org: Owner

beforeEach(async () => {
  fake = await FakeUpstream.start()
})
afterEach(async () => {
  await engine.close()
  await fake.close()
})

const nameDocument = (name: string): DocumentRequest<string> => ({
  kind: 'doc',
  key: name,
  path: `${name}/doc`,
  accept: '*/*',
  parse: String,
})

async function start(adapter: Partial<UpstreamAdapter> = {}, environment: Record<string, string> = {}): Promise<void> {
  engine = await TestEngine.start({ url: fake.url, adapter: { nameDocument, ...adapter }, environment })
  const { accounts } = engine.services
  const user = await accounts.createUser({ username: 'ann', email: 'ann@example.org', password: 'a-long-password' })
  org = await accounts.createOrganization(user, { username: 'acme' })
}

async function attach(include: string[] = [], exclude: string[] = []): Promise<void> {
  await engine.services.models.upstreamAttachment.create({
    ...{ orgId: org.id, type: 'probe', position: 0, upstreamId: engine.upstream.id },
    include: JSON.stringify(include),
    exclude: JSON.stringify(exclude),
  })
  engine.services.upstream.attachmentsChanged(org.id, 'probe')
}

async function reserve(...patterns: string[]): Promise<void> {
  const { models, upstream } = engine.services
  await models.reservedName.bulkCreate(patterns.map((pattern) => ({ orgId: org.id, type: 'probe', pattern })))
  await upstream.reservedNamesChanged(org, 'probe')
}

const resolve = async (name: string, has?: () => Promise<boolean>, owner = org) =>
  (await engine.services.upstream.resolve(anonymous, owner, 'probe', name, has)).kind
const bindings = () => engine.services.models.nameBinding.count({ where: { ownerId: org.id } })

describe('a name whose document an upstream does not have', () => {
  beforeEach(async () => {
    await start()
    await attach()
  })

  test('may be its all the same, and is from then on', async () => {
    const has = vi.fn(async () => true)
    expect(await resolve('app', has)).toBe('mirror')
    expect(await resolve('app', has)).toBe('mirror')
    expect(await resolve('app')).toBe('mirror')
    expect(has).toHaveBeenCalledTimes(1)
    expect(has).toHaveBeenCalledWith(engine.upstream)
    expect(await bindings()).toBe(1)
  })

  test('is not when nothing else proves it', async () => {
    expect(await resolve('app', async () => false)).toBe('hosted')
    expect(await resolve('app')).toBe('hosted')
    expect(await bindings()).toBe(0)
  })

  test('is in doubt while the upstream cannot say', async () => {
    for (const error of [new UpstreamUnavailable('slow', { retryAfter: 7 }), new NotFound('file')]) {
      const thrown = await resolve('app', () => Promise.reject(error)).catch((cause: unknown) => cause)
      expect(thrown).toBeInstanceOf(UpstreamUnavailable)
      expect(thrown).toMatchObject({ status: 503, retryAfter: error instanceof UpstreamUnavailable ? 7 : 5 })
    }
    expect(await bindings()).toBe(0)
  })

  test('is asked for by no other way when the document is there, fails, or the upstream is offline', async () => {
    const has = vi.fn(async () => true)
    fake.on('/there/doc', { body: 'x' })
    fake.on('/broken/doc', { status: 500 })
    expect(await resolve('there', has)).toBe('mirror')
    await expect(resolve('broken', has)).rejects.toMatchObject({ status: 503 })
    await engine.services.upstream.setMode('probe', 'offline')
    expect(await resolve('other', has)).toBe('hosted')
    expect(has).not.toHaveBeenCalled()
    expect(await bindings()).toBe(1)
  })
})

describe('patterns of a type that reads them its own way', () => {
  /** `a` means `a` and what begins with `a.`. */
  const compilePattern = (pattern: string) => {
    if (pattern.includes('*')) throw new Invalid(`${pattern} is no group`)
    return (name: string) => name === pattern || name.startsWith(`${pattern}.`)
  }

  beforeEach(async () => {
    fake.everything({ body: 'x' })
  })

  test('decide what an attachment lets through', async () => {
    await start({ compilePattern })
    await attach(['org.open'], ['Org.Open.Secret'])
    expect(await resolve('org.open.lib')).toBe('mirror')
    expect(await resolve('org.opener')).toBe('hosted')
    expect(await resolve('org.open.secret.lib')).toBe('hosted')
    expect(fake.requests.map(({ path }) => path)).toEqual(['/org.open.lib/doc'])
  })

  test('decide what is reserved', async () => {
    await start({ compilePattern }, { ENTREPOT_MIRRORS_RESERVED_PROBE: 'Com.Acme,net.acme' })
    await attach()
    await reserve('org.acme')
    const { upstream } = engine.services
    const names = ['com.acme', 'COM.ACME.lib', 'net.acme.x', 'org.acme.lib', 'org.acmes']
    expect([...(await upstream.hostedNames(org, 'probe', names))]).toEqual(names.slice(0, 4))
    for (const name of names.slice(0, 4)) expect(await resolve(name)).toBe('hosted')
    expect(await upstream.hostedNames(engine.upstream.owner, 'probe', names)).toEqual(new Set(names.slice(0, 3)))
    for (const name of names.slice(0, 3)) {
      await expect(resolve(name, undefined, engine.upstream.owner)).rejects.toBeInstanceOf(NotFound)
    }
    expect(fake.requests).toEqual([])
    expect(await resolve('org.acmes')).toBe('mirror')
  })

  test('are not asked about a name that is too long for any', async () => {
    let asked = 0
    await start({
      compilePattern: () => () => {
        asked += 1
        return false
      },
    })
    await attach([], ['a'])
    await reserve('b')
    expect(await resolve('x'.repeat(255))).toBe('mirror')
    expect([asked > 0, fake.requests.length]).toEqual([true, 1])
    asked = 0
    expect(await resolve('x'.repeat(256))).toBe('hosted')
    expect([asked, fake.requests.length]).toEqual([0, 1])
  })

  test('are refused where it refuses them', async () => {
    await start({ compilePattern })
    const { upstream } = engine.services
    expect(() => upstream.checkPatterns('probe', ['com.acme', 'com.*'])).toThrow('com.* is no group')
    expect(() => upstream.checkPatterns('other', ['com.acme'])).toThrow(Invalid)
  })
})

test.each([
  ['PROBE', 'a*a*a*a*a', 'mirrors.reserved.probe: "a*a*a*a*a" has more than three *'],
  ['PROBE', '(a)', 'mirrors.reserved.probe: "(a)" has characters that are not allowed in a pattern'],
  ['PROEB', 'a', 'mirrors.reserved.proeb: no upstream has packages of type proeb'],
])('ENTREPOT_MIRRORS_RESERVED_%s=%s stops the start', async (type, patterns, message) => {
  await start()
  const environment = { [`ENTREPOT_MIRRORS_RESERVED_${type}`]: patterns }
  const error = await TestEngine.start({ url: fake.url, environment }).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ConfigError)
  expect((error as Error).message).toBe(message)
})
