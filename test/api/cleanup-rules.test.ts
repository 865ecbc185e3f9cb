import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { Images } from '../package-types/container/images.ts'
import { buildArtifact, buildImage, buildIndex } from '../support/builders/image.ts'
import { TestApp } from '../support/test-app.ts'

const DAY = 24 * 60 * 60 * 1000
const RULES = '/orgs/acme/cleanup-rules'

let server: TestApp
let owner: string
let stranger: string

beforeAll(async () => {
  server = await TestApp.start()
  owner = await server.createUser('olga')
  stranger = await server.createUser('sam')
  await server.createOrganization('acme', owner)
})
afterAll(() => server.close())
beforeEach(async () => {
  for (const { type } of (await server.api('GET', RULES)).json()) await server.api('DELETE', `${RULES}/${type}`)
})

const upload = async (name: string, version: string, file = 'file.bin', body = `${name}${version}${file}`) => {
  const url = `/api/packages/acme/generic/${name}/${version}/${file}`
  const response = await server.inject({ method: 'PUT', url, headers: { authorization: owner }, payload: body })
  expect(response.statusCode, response.body).toBe(201)
}
const versions = async (name: string, type = 'generic'): Promise<string[]> => {
  const response = await server.api('GET', `/packages/acme/${type}/${encodeURIComponent(name)}?limit=50`)
  if (response.statusCode === 404) return []
  return (response.json() as { version: string }[]).map(({ version }) => version).sort()
}
const create = (rule: object) => server.api('POST', RULES, rule, owner)
const run = () => server.services.packages.cleanupRules.runAll()
/** What the rule removes of one package: what its preview lists, and what really goes. */
const removedBy = async (name: string, rule: object): Promise<string[]> => {
  const preview = await server.api('POST', `${RULES}/preview?limit=50`, { type: 'generic', ...rule }, owner)
  expect(preview.statusCode, preview.body).toBe(200)
  const listed = (preview.json() as { name: string; version: string }[]).filter((removal) => removal.name === name)
  const before = await versions(name)
  expect((await create({ type: 'generic', enabled: true, ...rule })).statusCode).toBe(201)
  await run()
  const after = await versions(name)
  const gone = before.filter((version) => !after.includes(version))
  expect(listed.map(({ version }) => version).sort()).toEqual(gone)
  return gone
}

describe('a cleanup rule', () => {
  test('is made, read, changed and deleted', async () => {
    const created = await create({ type: 'generic', keep_count: 5, remove_pattern: '.*-rc.*' })
    expect(created.statusCode).toBe(201)
    const rule = {
      type: 'generic',
      enabled: false,
      keep_count: 5,
      keep_pattern: '',
      remove_days: 0,
      remove_pattern: '.*-rc.*',
      match_full_name: false,
    }
    expect(created.json()).toMatchObject(rule)
    expect((await create({ type: 'generic' })).statusCode).toBe(409)
    const changed = await server.api('PATCH', `${RULES}/generic`, { enabled: true, remove_days: 30 }, owner)
    expect(changed.json()).toMatchObject({ ...rule, enabled: true, remove_days: 30 })
    expect((await server.api('GET', `${RULES}/generic`, undefined, owner)).json()).toEqual(changed.json())
    expect((await server.api('GET', RULES, undefined, owner)).json()).toEqual([changed.json()])
    expect((await server.api('DELETE', `${RULES}/generic`, undefined, owner)).statusCode).toBe(204)
    expect((await server.api('GET', `${RULES}/generic`, undefined, owner)).statusCode).toBe(404)
    expect((await server.api('PATCH', `${RULES}/generic`, {}, owner)).statusCode).toBe(404)
  })

  test('of a user is his own and the administrators’', async () => {
    const path = '/users/olga/cleanup-rules'
    expect((await server.api('POST', path, { type: 'npm', keep_count: 1 }, owner)).statusCode).toBe(201)
    expect((await server.api('GET', path, undefined, stranger)).statusCode).toBe(403)
    expect((await server.api('DELETE', `${path}/npm`)).statusCode).toBe(204)
    expect((await server.api('POST', RULES, { type: 'npm' }, stranger)).statusCode).toBe(403)
  })

  test.each([
    [{ type: 'generic', remove_pattern: '(' }],
    [{ type: 'generic', keep_pattern: '(?=x)' }],
    [{ type: 'generic', remove_pattern: '(.?){1000}(.?){1000}' }],
    [{ type: 'nonsense' }],
    [{ type: 'generic', keep_count: -1 }],
    [{ type: 'generic', owner_id: 1 }],
    [{}],
  ])('that makes no sense is refused: %j', async (rule) => {
    expect((await create(rule)).statusCode).toBe(422)
    expect((await server.api('POST', `${RULES}/preview`, rule, owner)).statusCode).toBe(422)
    expect((await server.api('GET', RULES)).json()).toEqual([])
  })

  test('keeps the newest, the young, what matches, and what does not match', async () => {
    for (const version of ['1.0', '1.1-rc1', '1.1', '2.0-rc1', '2.0']) {
      await upload('app', version)
      server.clock.advance(DAY)
    }
    const rule = { keep_count: 1, remove_days: 3, keep_pattern: '1\\.0', remove_pattern: '.*RC.*|1\\..*' }
    expect(await removedBy('app', rule)).toEqual(['1.1', '1.1-rc1'])
  })

  test('looks at the whole name where it is told to, and at all versions without patterns', async () => {
    for (const name of ['lib-a', 'lib-b']) for (const version of ['1', '2']) await upload(name, version)
    expect(await removedBy('lib-a', { match_full_name: true, remove_pattern: 'lib-a/.*' })).toEqual(['1', '2'])
    expect(await versions('lib-b')).toEqual(['1', '2'])
  })

  test('that is not enabled removes nothing', async () => {
    await upload('kept', '1')
    expect((await create({ type: 'generic', remove_pattern: '.*' })).statusCode).toBe(201)
    await run()
    expect(await versions('kept')).toEqual(['1'])
  })

  test('says why', async () => {
    await upload('why', '1')
    server.clock.advance(3 * DAY)
    await upload('why', '2')
    const rule = { type: 'generic', keep_count: 1, remove_pattern: '1' }
    const preview = await server.api('POST', `${RULES}/preview`, rule, owner)
    expect(preview.json().filter(({ name }: { name: string }) => name === 'why')).toEqual([
      {
        type: 'generic',
        name: 'why',
        version: '1',
        size: 12,
        reason: 'not among the newest 1, changed 3 days ago, matches 1',
      },
    ])
    expect(preview.headers['x-total-count']).toBe(String(preview.json().length))
  })

  test('is looked at for some packages at a time', async () => {
    const { package: packages, packageVersion } = server.services.models
    const bea = await server.createUser('bea')
    const { id: ownerId } = (await server.services.accounts.find('bea'))!
    const names = Array.from({ length: 502 }, (_, index) => `many-${index}`)
    const common = { ownerId, type: 'generic', repoId: 0, semverCompatible: false, isInternal: false }
    await packages.bulkCreate(names.map((name) => ({ ...common, name, lowerName: name })))
    const rows = await packages.findAll({ where: { ownerId } })
    await packageVersion.bulkCreate(
      rows.map(({ id }) => ({
        ...{ packageId: id, creatorId: 0, version: '1', lowerVersion: '1', createdAt: 1, isInternal: false },
        ...{ metadataJson: '{}', downloadCount: 0, lastDownloadedAt: 0 },
      })),
    )
    const preview = (query: string) =>
      server.api('POST', `/users/bea/cleanup-rules/preview${query}`, { type: 'generic', remove_pattern: '1' }, bea)
    const first = await preview('?limit=50&page=10')
    expect([first.json().length, first.headers['x-total-count']]).toEqual([50, '500'])
    const after = first.headers['x-continue-after']
    const rest = await preview(`?after=${after}`)
    expect(rest.json().map(({ name }: { name: string }) => name)).toEqual(['many-500', 'many-501'])
    expect(rest.headers).not.toHaveProperty('x-continue-after')
  })

  test('takes a version for as young as its youngest file', async () => {
    await upload('snapshot', '1')
    server.clock.advance(10 * DAY)
    await upload('snapshot', '1', 'more.bin')
    expect(await removedBy('snapshot', { remove_days: 5, remove_pattern: '1' })).toEqual([])
  })

  test('spares a version that got another file after it was chosen', async () => {
    await upload('race', '1')
    const { removal } = server.services.packages
    const remove = removal.removePackageVersion.bind(removal)
    server.clock.advance(DAY)
    removal.removePackageVersion = async (target, doer, isNeeded) => {
      removal.removePackageVersion = remove
      await upload('race', '1', 'late.bin')
      return remove(target, doer, isNeeded)
    }
    await create({ type: 'generic', enabled: true, match_full_name: true, remove_pattern: 'race/1' })
    await run()
    expect(await versions('race')).toEqual(['1'])
  })

  test('goes with its owner', async () => {
    await server.createOrganization('brief', owner)
    await server.api('POST', '/orgs/brief/cleanup-rules', { type: 'npm', enabled: true }, owner)
    expect((await server.api('DELETE', '/orgs/brief', undefined, owner)).statusCode).toBe(204)
    expect(await server.services.models.packageCleanupRule.count()).toBe(0)
  })

  test('that fails does not stop the others', async () => {
    await upload('after', '1')
    const { packageCleanupRule } = server.services.models
    const now = server.clock.now()
    const acme = await server.services.accounts.find('acme')
    const broken = { keepCount: 0, keepPattern: '(', removeDays: 0, removePattern: '', matchFullName: false }
    const times = { createdAt: now, updatedAt: now }
    await packageCleanupRule.create({ type: 'npm', enabled: true, ownerId: acme!.id, ...broken, ...times })
    await create({ type: 'generic', enabled: true, match_full_name: true, remove_pattern: 'after/1' })
    await run()
    expect(await versions('after')).toEqual([])
  })
})

describe('a cleanup rule for containers', () => {
  test('keeps latest, and what tags, indexes and referrers need', async () => {
    const images = new Images(server, 'acme/image', owner)
    const old = await images.pushImage('old', 'old')
    const child = buildImage({ layers: ['child'] })
    await images.push(child.digest, child)
    const index = buildIndex([{ child }])
    await images.push('multi', index)
    const signature = buildArtifact('application/vnd.example.signature', { subject: child })
    await images.push(signature.digest, signature)
    const latest = await images.pushImage('latest', 'latest')
    server.clock.advance(30 * DAY)
    const rule = { type: 'container', enabled: true, remove_days: 7, keep_pattern: 'multi' }
    expect((await create(rule)).statusCode).toBe(201)
    await run()
    const digests = [child.digest, index.digest, signature.digest, latest.digest]
    expect(await versions('image', 'container')).toEqual(['latest', 'multi', ...digests].sort())
    expect((await images.manifest(old.digest)).statusCode).toBe(404)

    await server.api('PATCH', `${RULES}/container`, { keep_pattern: '' }, owner)
    await run()
    expect(await versions('image', 'container')).toEqual(['latest', latest.digest].sort())
  })
})
