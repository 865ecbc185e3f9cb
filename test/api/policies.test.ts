import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { FakeNpmRegistry } from '../support/fake-npm-registry.ts'
import { TestApp } from '../support/test-app.ts'

let registry: FakeNpmRegistry
let app: TestApp
let ann: string

beforeAll(async () => {
  registry = await FakeNpmRegistry.start()
  const file = { type: 'npm', owner: 'npmjs', url: registry.url, allowPrivateNetwork: true }
  app = await TestApp.start({ upstreams: { npmjs: file } })
  ann = await app.createUser('ann')
  await app.createOrganization('acme', ann)
  await app.createOrganization('other')
  await app.api('PUT', '/orgs/acme/upstreams/npm', [{ upstream: 'npmjs' }], ann)
  await registry.publish({ name: 'left', version: '1.0.0' })
  await registry.publish({ name: 'left', version: '1.1.0', publishedAt: Date.now() - 3_600_000 })
})
afterAll(async () => {
  await app.close()
  await registry.close()
})
beforeEach(async () => {
  const held = (await app.api('GET', '/admin/policies?limit=50')).json() as { id: number }[]
  for (const { id } of held) await app.api('DELETE', `/admin/policies/${id}`)
})

const make = (fields: object, path = '/admin/policies', as = app.admin) => app.api('POST', path, fields, as)
const explain = async (version: string, owner = 'acme', as: string | null = ann) =>
  app.api('GET', `/packages/explain?owner=${owner}&type=npm&name=left&version=${version}`, undefined, as)

describe('policies over REST', () => {
  test('are made, read, changed and deleted', async () => {
    const made = await make({
      ...{ action: 'cooldown', type: 'npm', name: '@acme/*', versions: '>=2', min_age: '72h', reason: 'wait' },
      ...{ untrusted_only: true, expires_at: '2999-01-01T00:00:00Z', upstream: 'npmjs' },
    })
    expect(made.statusCode).toBe(201)
    const { id } = made.json()
    expect(made.json()).toMatchObject({
      ...{ scope: 'upstream', upstream: 'npmjs', organization: '', action: 'cooldown', type: 'npm', name: '@acme/*' },
      ...{ versions: '>=2', min_age: '3d', not_after: null, untrusted_only: true, reason: 'wait', author: 'root' },
      expires_at: '2999-01-01T00:00:00Z',
    })
    const changed = await app.api('PATCH', `/admin/policies/${id}`, { min_age: '90m', expires_at: '', reason: '' })
    expect(changed.json()).toMatchObject({ min_age: '90m', expires_at: null, reason: '', name: '@acme/*' })
    expect((await app.api('GET', '/admin/policies')).json()).toEqual([changed.json()])
    expect((await app.api('DELETE', `/admin/policies/${id}`)).statusCode).toBe(204)
    expect((await app.api('GET', `/admin/policies/${id}`)).statusCode).toBe(404)
    const actions = (await app.api('GET', '/admin/audit')).json() as { action: string }[]
    expect(actions.map(({ action }) => action)).toEqual(
      expect.arrayContaining(['policy.created', 'policy.updated', 'policy.deleted']),
    )
  })

  test.each([
    [{ action: 'cooldown' }, 'MinAge'],
    [{ action: 'deny', min_age: '1h' }, 'MinAge'],
    [{ action: 'cooldown', min_age: 'soon' }, 'MinAge'],
    [{ action: 'freeze' }, 'NotAfter'],
    [{ action: 'freeze', not_after: '2026-02-30T00:00:00Z' }, 'NotAfter'],
    [{ action: 'deny', name: 'left' }, 'Type'],
    [{ action: 'deny', type: 'generic', name: 'left' }, 'Type'],
    [{ action: 'deny', type: 'npm', name: 'a*b*c*d*e' }, 'Name'],
    [{ action: 'deny', type: 'npm', name: 'left', versions: 'newest' }, 'Versions'],
    [{ action: 'deny', type: 'maven', name: 'com.acme', versions: '[1,2' }, 'Versions'],
    [{ action: 'deny', type: 'container', name: 'library/*', versions: 'sha256:12' }, 'Versions'],
    [{ action: 'pin', type: 'npm', name: 'left' }, 'Versions'],
    [{ action: 'allow_only', type: 'npm' }, 'Name'],
    [{ action: 'allow', type: 'npm', expires_at: '2020-01-01T00:00:00Z' }, 'Expires'],
    [{ action: 'deny', upstream: 'nobody' }, 'Upstream'],
    [{ action: 'forbid' }, 'Action'],
    [{ action: 'deny', scope: 'site' }, 'Scope'],
  ])('%j is refused: %s', async (fields, field) => {
    const response = await make(fields)
    expect(response.statusCode).toBe(422)
    expect(response.json().message).toContain(`[${field}`)
  })

  test('the recommended one is there once', async () => {
    const first = await app.api('POST', '/admin/policies/presets/recommended')
    expect(first.statusCode).toBe(201)
    expect(first.json()).toMatchObject({ scope: 'site', action: 'cooldown', min_age: '3d', untrusted_only: true })
    const second = await app.api('POST', '/admin/policies/presets/recommended')
    expect([second.statusCode, second.json()]).toEqual([200, first.json()])
  })

  test('of an organization are its owners’, and of nobody else', async () => {
    const made = await make({ action: 'deny', type: 'npm', name: 'left' }, '/orgs/acme/policies', ann)
    expect(made.statusCode).toBe(201)
    expect(made.json()).toMatchObject({ scope: 'organization', organization: 'acme', author: 'ann' })
    const { id } = made.json()
    expect((await app.api('GET', `/orgs/other/policies/${id}`)).statusCode).toBe(404)
    expect((await app.api('DELETE', `/orgs/other/policies/${id}`)).statusCode).toBe(404)
    const site = (await make({ action: 'deny', type: 'npm', name: 'right' })).json()
    expect((await app.api('DELETE', `/orgs/acme/policies/${site.id}`, undefined, ann)).statusCode).toBe(404)
    expect((await make({ action: 'deny', upstream: 'npmjs' }, '/orgs/acme/policies', ann)).statusCode).toBe(422)
    expect((await app.api('GET', '/orgs/acme/policies', undefined, ann)).json()).toHaveLength(1)
  })

  test('an organization cannot keep the processor busy with patterns', async () => {
    const orgId = (await app.services.accounts.find('acme'))!.id
    const row = { scope: 'organization', scopeId: orgId, action: 'deny', type: 'npm', versions: '', minAge: 0 } as const
    const rest = { notAfter: 0, untrustedOnly: false, reason: '', author: '', expiresAt: 0, createdAt: 1, updatedAt: 1 }
    const rows = Array.from({ length: 200 }, (_, index) => ({ ...row, ...rest, name: `x${index}*` }))
    await app.services.models.packageRule.bulkCreate(rows)
    const more = await make({ action: 'deny', type: 'npm', name: 'y*' }, '/orgs/acme/policies', ann)
    expect(more.statusCode).toBe(422)
    expect((await make({ action: 'deny', type: 'npm', name: 'y' }, '/orgs/acme/policies', ann)).statusCode).toBe(201)
    await app.services.models.packageRule.destroy({ where: { scopeId: orgId } })
  })
})

describe('an explanation', () => {
  test('tells source, time, policies and verdict', async () => {
    expect((await explain('1.1.0')).json()).toMatchObject({ verdict: 'allowed', upstream: 'npmjs', policies: [] })
    await app.api('POST', '/admin/policies/presets/recommended')
    await make({ action: 'allow', type: 'npm', name: 'left', versions: '1.1.0' }, '/orgs/acme/policies', ann)
    const inView = (await explain('1.1.0')).json()
    expect(inView).toMatchObject({ source: 'upstream', trust: 'untrusted', verdict: 'allowed', reason: '' })
    expect(inView.policies.map(({ action, verdict }: Record<string, string>) => [action, verdict])).toEqual([
      ['cooldown', 'refused'],
      ['allow', 'allowed'],
    ])
    const direct = (await explain('1.1.0', 'npmjs')).json()
    expect(direct.verdict).toBe('refused')
    expect(direct.reason).toMatch(/^left 1\.1\.0 is younger than 3 days/)
    expect(Date.parse(direct.matures_at) - Date.parse(direct.published_at)).toBe(72 * 3_600_000)
    expect((await explain('1.0.0', 'npmjs')).json().verdict).toBe('allowed')
  })

  test('is for those who may read the owner, and asks for no path that is not a name', async () => {
    expect((await explain('1.0.0', 'npmjs', null)).statusCode).toBe(401)
    await app.createOrganization('closed', app.admin, 'private')
    expect((await explain('1.0.0', 'closed')).statusCode).toBe(403)
    registry.upstream.forget()
    for (const name of ['../x', 'a/../b', 'a//b', 'a?b', 'a%2fb', '/a', '.']) {
      const path = `/packages/explain?owner=npmjs&type=npm&version=1&name=${encodeURIComponent(name)}`
      expect((await app.api('GET', path)).statusCode, name).toBe(422)
    }
    expect(registry.upstream.requests).toEqual([])
  })
})
