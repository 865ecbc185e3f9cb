import { expect, test } from 'vitest'
import { type Identity, identities, type Place, type RightsWorld } from '../support/rights-world.ts'
import { pathAt, rowsOf } from './addresses.ts'
import { ask } from './ask.ts'

/** Rights that handlers look at after the guards: requests really change things. */
export function describeHandlers(world: () => RightsWorld): void {
  const placeOf = (name: string) => world().places.find((place) => place.name === name && !place.isSecret)!
  const rowOf = (label: string) =>
    world()
      .opened.routes.flatMap(rowsOf)
      .find((row) => row.label === label)!

  test('a registry token does what its user could do without it, and no more (security.md S8)', async () => {
    const differing: string[] = []
    for (const place of world().places.filter(({ kind }) => kind !== 'site')) {
      for (const identity of identities) {
        // Those are granted nothing by the endpoint itself.
        if (identity === 'jwt') continue
        const direct = await actionsWith(world(), place, world().authorizationOf(identity, place))
        const token = await exchange(world(), identity, place)
        const exchanged = token === null ? [] : await actionsWith(world(), place, `Bearer ${token}`)
        if (exchanged.join() !== direct.join()) differing.push(`${identity} ${place.name}: ${direct} → ${exchanged}`)
      }
    }
    expect(differing).toEqual([])
  })

  test('who creates repositories of an organization', async () => {
    world().opened.stopsChanges = false
    for (const name of ['org-public', 'org-limited', 'org-private']) {
      const found: Partial<Record<Identity, number>> = {}
      for (const identity of ['none', 'read', 'writ', 'admn', 'ann', 'root', 'worg', 'all'] as const) {
        const row = rowOf('POST /api/v1/orgs/:org/repos')
        const answer = await ask(world(), row, identity, placeOf(name), { payload: { name: `by-${identity}` } })
        found[identity] = answer.statusCode
      }
      const members = { none: 403, read: 403, writ: 403, admn: 403 }
      expect(found).toEqual({ ...members, ann: 201, root: 201, worg: 201, all: 201 })
    }
  })

  test('an id of another tenant is not found, and what has it stays (security.md S13)', async () => {
    world().opened.stopsChanges = false
    const reached: string[] = []
    const ids = ['hook', 'delivery', 'token', 'key', 'upload', 'team', 'publisher', 'policy'] as const
    for (const row of world().opened.routes.flatMap(rowsOf)) {
      const named = ids.filter((id) => new RegExp(`/:${id}\\b`).test(row.path))
      if (named.length === 0 || row.kinds.includes('site')) continue
      for (const kind of ['org', 'user'] as const) {
        if (row.kinds.length > 0 && !row.kinds.includes(kind)) continue
        const [own, foreign] = [placeOf(`${prefixes[kind]}-public`), placeOf(`${prefixes[kind]}-private`)]
        const theirs: Record<string, string> = { ...foreign.values, key: foreign.values['token']! }
        const mixed = Object.fromEntries(named.map((id) => [id, theirs[id] ?? '0']))
        const place = { ...own, values: { ...own.values, ...mixed } }
        const { statusCode } = await ask(world(), row, 'ann', place, {
          payload: bodies[row.label.replace('/api/v1', '')] ?? {},
        })
        const refused = row.path.includes(':upload') ? [404, 405] : [404, 422]
        if (!refused.includes(statusCode)) reached.push(`${row.label} ${kind} ${statusCode}`)
      }
    }
    expect(reached).toEqual([])
    for (const [label, name] of [
      ['GET /api/v1/orgs/:org/hooks/:hook/deliveries/:delivery', 'org-private'],
      ['GET /api/v1/user/hooks/:hook/deliveries/:delivery', 'ann-private'],
      ['GET /api/v1/teams/:team', 'org-private'],
    ] as const) {
      expect([label, (await ask(world(), rowOf(label), 'ann', placeOf(name))).statusCode]).toEqual([label, 200])
    }
    const user = placeOf('ann-private')
    const tokens = await ask(world(), rowOf('GET /api/v1/users/:username/tokens'), 'ann', user)
    expect((tokens.json() as { id: number }[]).map(({ id }) => String(id)).length).toBeGreaterThan(0)
    expect(await world().opened.server.services.accessTokens.findById(Number(user.values['token']))).not.toBeNull()
  })

  test('a public-only token changes nothing of owners that are not public (security.md S10)', async () => {
    world().opened.stopsChanges = false
    const open: string[] = []
    for (const identity of ['pub', 'R:pu'] as const) {
      for (const row of world().opened.routes.flatMap(rowsOf)) {
        if (!/^(POST|PUT|PATCH|DELETE) \/api\/v1\/.*:(org|username|owner|team)/.test(row.label)) continue
        for (const place of world().places) {
          if (place.visibility === 'public' || !row.kinds.includes(place.kind)) continue
          const payload = bodies[row.label.replace('/api/v1', '')] ?? {}
          const { statusCode } = await ask(world(), row, identity, place, { payload })
          if (![403, 404, 405].includes(statusCode)) open.push(`${identity} ${row.label} ${place.name} ${statusCode}`)
        }
      }
    }
    expect(open).toEqual([])
  })
}

const prefixes = { org: 'org', user: 'ann' } as const

/** What the handler takes, so that it is the right that decides. */
const bodies: Readonly<Record<string, object>> = {
  'POST /users/:username/tokens': { name: 'made', scopes: ['read:misc'] },
  'POST /admin/users/:username/orgs': { username: 'made' },
  'POST /orgs/:org/teams': { name: 'made', permission: 'admin' },
  'POST /orgs/:org/cleanup-rules': { type: 'npm', remove_days: 1 },
  'POST /orgs/:org/cleanup-rules/preview': { type: 'npm', remove_days: 1 },
  'POST /users/:username/cleanup-rules': { type: 'npm', remove_days: 1 },
  'POST /users/:username/cleanup-rules/preview': { type: 'npm', remove_days: 1 },
  'PUT /orgs/:org/upstreams/:type': [],
  'PUT /orgs/:org/reserved-names/:type': [],
  'PUT /orgs/:org/bindings/:type/:name': { source: 'hosted' },
  'POST /orgs/:org/hooks': { type: 'gitea', config: { url: 'http://127.0.0.1:9/', content_type: 'json' } },
  'PATCH /admin/users/:username': { login_name: 'made', full_name: 'changed' },
  'POST /admin/users/:username/rename': { new_username: 'renamed' },
  'POST /orgs/:org/policies': { action: 'deny', type: 'npm', name: '@made/*' },
  'POST /orgs/:org/trusted_publishers': { name: 'made', issuer: 'https://issuer.example.org', claims: { sub: 'job' } },
  'POST /orgs/:org/rename': { new_name: 'renamed' },
}

const actions = {
  pull: 'GET /v2/* manifest',
  push: 'PUT /v2/* manifest',
  delete: 'DELETE /v2/* manifest',
} as const

async function actionsWith(world: RightsWorld, place: Place, authorization: string | undefined): Promise<string[]> {
  const rows = world.opened.routes.flatMap(rowsOf)
  const allowed: string[] = []
  for (const [action, label] of Object.entries(actions)) {
    const row = rows.find((each) => each.label === label)!
    const response = await world.opened.server.inject({
      method: row.route.method as 'GET',
      url: pathAt(row, place),
      headers: authorization === undefined ? {} : { authorization },
    })
    if (response.statusCode < 300) allowed.push(action)
  }
  return allowed
}

/** A token for all that can be done to the image; null: there is none for this caller. */
async function exchange(world: RightsWorld, identity: Identity, place: Place): Promise<string | null> {
  const authorization = world.authorizationOf(identity, place)
  const scope = `repository:${place.name}/lib/${place.package}:pull,push,delete`
  const response = await world.opened.server.inject({
    method: 'GET',
    url: `/v2/token?${new URLSearchParams({ service: '127.0.0.1:8080', scope })}`,
    headers: authorization === undefined ? {} : { authorization },
  })
  return response.statusCode === 200 ? (response.json() as { token: string }).token : null
}
