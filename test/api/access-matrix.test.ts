import Fastify from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { api } from '../../src/api/index.ts'
import { publish } from '../support/builders/published-package.ts'
import { TestApp } from '../support/test-app.ts'

/**
 * What each caller gets on each route, written by hand; a route without a row fails (security.md S1, S11). Owners are
 * hidden: `ann` is a private user, `closed` her private organization. The columns: anonymous; bob, a stranger; and
 * tokens of ann: one without any scope of the route, one with every scope for public owners only, one with every scope
 * to read. A dash stands for "the handler decides", which other tests look at.
 */
const table = `
GET    /version                                     200 200 200 200 200
GET    /user                                        401 200 403 200 200
GET    /users/search                                200 200 403 200 200
GET    /users/:username                             404 404 403 403 200
GET    /users/:username/tokens                      401 403 403 401 401
POST   /users/:username/tokens                      401 403 403 401 403
DELETE /users/:username/tokens/:token               401 403 403 401 403
GET    /token                                       401 404 200 200 200
DELETE /token                                       401 404 -   -   -
GET    /user/two_factor                             401 200 403 200 200
POST   /user/two_factor                             401 201 403 401 403
POST   /user/two_factor/confirm                     401 422 403 401 403
DELETE /user/two_factor                             401 204 403 401 403
GET    /orgs                                        200 200 403 200 200
POST   /orgs                                        401 422 403 422 403
GET    /orgs/:org                                   404 404 403 403 200
PATCH  /orgs/:org                                   401 404 403 404 403
DELETE /orgs/:org                                   401 404 403 404 403
POST   /orgs/:org/rename                            401 404 403 404 403
GET    /user/orgs                                   401 200 403 200 200
GET    /users/:username/orgs                        401 404 403 403 200
GET    /orgs/:org/members                           401 404 403 403 200
GET    /orgs/:org/members/:username                 401 404 403 403 204
DELETE /orgs/:org/members/:username                 401 404 403 404 403
GET    /orgs/:org/public_members                    404 404 403 403 200
GET    /orgs/:org/public_members/:username          404 404 403 403 404
PUT    /orgs/:org/public_members/:username          401 404 403 403 403
DELETE /orgs/:org/public_members/:username          401 404 403 403 403
GET    /orgs/:org/teams                             401 404 403 403 200
POST   /orgs/:org/teams                             401 404 403 404 403
GET    /orgs/:org/teams/search                      401 404 403 403 200
GET    /teams/:team                                 401 404 403 403 200
PATCH  /teams/:team                                 401 404 403 403 403
DELETE /teams/:team                                 401 404 403 403 403
GET    /teams/:team/repos                           401 404 403 403 200
GET    /teams/:team/repos/:org/:repository          401 404 403 403 200
PUT    /teams/:team/repos/:org/:repository          401 404 403 403 403
DELETE /teams/:team/repos/:org/:repository          401 404 403 403 403
GET    /teams/:team/members                         401 404 403 403 200
GET    /teams/:team/members/:username               401 404 403 403 200
PUT    /teams/:team/members/:username               401 404 403 403 403
DELETE /teams/:team/members/:username               401 404 403 403 403
GET    /user/teams                                  401 200 403 403 200
GET    /users/:username/orgs/:org/permissions       401 404 403 403 200
GET    /orgs/:org/upstreams/:type                   401 404 403 404 200
PUT    /orgs/:org/upstreams/:type                   401 404 403 404 403
GET    /orgs/:org/reserved-names/:type              401 404 403 404 200
PUT    /orgs/:org/reserved-names/:type              401 404 403 404 403
GET    /orgs/:org/bindings                          401 404 403 404 200
GET    /orgs/:org/bindings/:type/:name              401 404 403 404 200
PUT    /orgs/:org/bindings/:type/:name              401 404 403 404 403
DELETE /orgs/:org/bindings/:type/:name              401 404 403 404 403
GET    /orgs/:org/policies                          401 404 403 404 200
POST   /orgs/:org/policies                          401 404 403 404 403
GET    /orgs/:org/policies/:policy                  401 404 403 404 404
PATCH  /orgs/:org/policies/:policy                  401 404 403 404 403
DELETE /orgs/:org/policies/:policy                  401 404 403 404 403
GET    /orgs/:org/cleanup-rules                     401 404 403 404 200
POST   /orgs/:org/cleanup-rules                     401 404 403 404 403
POST   /orgs/:org/cleanup-rules/preview             401 404 403 404 403
GET    /orgs/:org/cleanup-rules/:type               401 404 403 404 404
PATCH  /orgs/:org/cleanup-rules/:type               401 404 403 404 403
DELETE /orgs/:org/cleanup-rules/:type               401 404 403 404 403
GET    /users/:username/cleanup-rules               401 403 403 403 200
POST   /users/:username/cleanup-rules               401 403 403 422 403
POST   /users/:username/cleanup-rules/preview       401 403 403 422 403
GET    /users/:username/cleanup-rules/:type         401 403 403 403 404
PATCH  /users/:username/cleanup-rules/:type         401 403 403 403 403
DELETE /users/:username/cleanup-rules/:type         401 403 403 403 403
GET    /user/quota                                  401 200 403 403 200
GET    /user/quota/check                            401 422 403 422 422
GET    /user/quota/packages                         401 200 403 403 200
GET    /orgs/:org/quota                             401 404 403 404 200
GET    /orgs/:org/quota/check                       401 404 403 404 422
GET    /orgs/:org/quota/packages                    401 404 403 404 200
GET    /admin/users/:username/quota                 401 403 403 403 403
GET    /admin/users/:username/quota/check           401 403 403 403 403
GET    /admin/users/:username/quota/packages        401 403 403 403 403
GET    /admin/users/:username/quota/limits          401 403 403 403 403
PUT    /admin/users/:username/quota/limits          401 403 403 403 403
GET    /orgs/:org/hooks                             401 404 403 404 200
POST   /orgs/:org/hooks                             401 404 403 404 403
GET    /orgs/:org/hooks/:hook                       401 404 403 404 404
PATCH  /orgs/:org/hooks/:hook                       401 404 403 404 403
DELETE /orgs/:org/hooks/:hook                       401 404 403 404 403
POST   /orgs/:org/hooks/:hook/tests                 401 404 403 404 403
GET    /orgs/:org/hooks/:hook/deliveries            401 404 403 404 404
GET    /orgs/:org/hooks/:hook/deliveries/:delivery  401 404 403 404 404
POST   /orgs/:org/hooks/:hook/deliveries/:delivery/redeliver 401 404 403 404 403
GET    /user/hooks                                  401 200 403 403 200
POST   /user/hooks                                  401 422 403 403 403
GET    /user/hooks/:hook                            401 404 403 403 404
PATCH  /user/hooks/:hook                            401 404 403 403 403
DELETE /user/hooks/:hook                            401 404 403 403 403
POST   /user/hooks/:hook/tests                      401 404 403 403 403
GET    /user/hooks/:hook/deliveries                 401 404 403 403 404
GET    /user/hooks/:hook/deliveries/:delivery       401 404 403 403 404
POST   /user/hooks/:hook/deliveries/:delivery/redeliver 401 404 403 403 403
GET    /admin/hooks                                 401 403 403 403 403
POST   /admin/hooks                                 401 403 403 403 403
GET    /admin/hooks/:hook                           401 403 403 403 403
PATCH  /admin/hooks/:hook                           401 403 403 403 403
DELETE /admin/hooks/:hook                           401 403 403 403 403
POST   /admin/hooks/:hook/tests                     401 403 403 403 403
GET    /admin/hooks/:hook/deliveries                401 403 403 403 403
GET    /admin/hooks/:hook/deliveries/:delivery      401 403 403 403 403
POST   /admin/hooks/:hook/deliveries/:delivery/redeliver 401 403 403 403 403
GET    /orgs/:org/trusted_publishers                401 404 403 404 200
POST   /orgs/:org/trusted_publishers                401 404 403 404 403
GET    /orgs/:org/trusted_publishers/:publisher     401 404 403 404 404
PATCH  /orgs/:org/trusted_publishers/:publisher     401 404 403 404 403
DELETE /orgs/:org/trusted_publishers/:publisher     401 404 403 404 403
GET    /user/trusted_publishers                     401 200 403 403 200
POST   /user/trusted_publishers                     401 422 403 403 403
GET    /user/trusted_publishers/:publisher          401 404 403 403 404
PATCH  /user/trusted_publishers/:publisher          401 404 403 403 403
DELETE /user/trusted_publishers/:publisher          401 404 403 403 403
POST   /trusted_publishing/token                    422 422 422 422 422
GET    /user/repos                                  401 200 403 403 200
POST   /user/repos                                  401 422 403 422 403
GET    /users/:username/repos                       404 404 403 403 200
GET    /orgs/:org/repos                             404 404 403 403 200
POST   /orgs/:org/repos                             401 404 403 403 403
POST   /org/:org/repos                              401 404 403 403 403
GET    /repos/:owner/:repository                    404 404 403 403 200
PATCH  /repos/:owner/:repository                    401 404 403 403 403
DELETE /repos/:owner/:repository                    401 404 403 403 403
GET    /packages/explain                            401 422 422 422 422
GET    /packages/resolve                            401 422 422 422 422
GET    /packages/:owner                             401 403 403 403 200
GET    /packages/:owner/:type/:name                 401 403 403 403 200
DELETE /packages/:owner/:type/:name                 401 403 403 403 403
PATCH  /packages/:owner/:type/:name                 401 403 403 403 403
GET    /packages/:owner/:type/:name/-/latest        401 403 403 403 200
POST   /packages/:owner/:type/:name/-/link/:repository 401 403 403 403 403
POST   /packages/:owner/:type/:name/-/unlink        401 403 403 403 403
GET    /packages/:owner/:type/:name/:version        401 403 403 403 200
DELETE /packages/:owner/:type/:name/:version        401 403 403 403 403
GET    /packages/:owner/:type/:name/:version/files  401 403 403 403 200
GET    /admin/users                                 401 403 403 403 403
POST   /admin/users                                 401 403 403 403 403
PATCH  /admin/users/:username                       401 403 403 403 403
DELETE /admin/users/:username                       401 403 403 403 403
POST   /admin/users/:username/rename                401 403 403 403 403
GET    /admin/users/:username/identities            401 403 403 403 403
POST   /admin/users/:username/identities            401 403 403 403 403
DELETE /admin/users/:username/identities/:identity  401 403 403 403 403
DELETE /admin/users/:username/two_factor            401 403 403 403 403
GET    /admin/users/:username/orgs                  401 403 403 403 403
POST   /admin/users/:username/orgs                  401 403 403 403 403
GET    /admin/orgs                                  401 403 403 403 403
GET    /admin/cron                                  401 403 403 403 403
POST   /admin/cron/:task                            401 403 403 403 403
GET    /admin/audit                                 401 403 403 403 403
GET    /admin/audit/export                          401 403 403 403 403
GET    /orgs/:org/audit                             401 404 403 404 200
GET    /admin/policies                              401 403 403 403 403
POST   /admin/policies                              401 403 403 403 403
GET    /admin/policies/:policy                      401 403 403 403 403
PATCH  /admin/policies/:policy                      401 403 403 403 403
DELETE /admin/policies/:policy                      401 403 403 403 403
POST   /admin/policies/presets/recommended          401 403 403 403 403
GET    /admin/upstreams                             401 403 403 403 403
POST   /admin/upstreams                             401 403 403 403 403
GET    /admin/upstreams/:upstream                   401 403 403 403 403
POST   /admin/upstreams/test                        401 403 403 403 403
PATCH  /admin/upstreams/:upstream                   401 403 403 403 403
DELETE /admin/upstreams/:upstream                   401 403 403 403 403
GET    /admin/upstreams/:upstream/stats             401 403 403 403 403
GET    /admin/upstreams/:upstream/pins              401 403 403 403 403
PUT    /admin/upstreams/:upstream/pins              401 403 403 403 403
DELETE /admin/upstreams/:upstream/pins              401 403 403 403 403
GET    /admin/upstreams/:upstream/health            401 403 403 403 403
POST   /admin/upstreams/:upstream/test              401 403 403 403 403
POST   /admin/upstreams/:upstream/mode              401 403 403 403 403
POST   /admin/upstreams/:upstream/invalidate        401 403 403 403 403
POST   /admin/upstreams/:upstream/purge             401 403 403 403 403
`

const rows = table
  .trim()
  .split('\n')
  .map((line) => line.split(/\s+/) as [method: string, url: string, ...statuses: string[]])

const parameters: Record<string, string> = {
  username: 'ann',
  token: '1',
  org: 'closed',
  owner: 'closed',
  type: 'generic',
  name: 'secret',
  version: '1.0.0',
  repository: 'repo',
  upstream: 'none',
  hook: '1',
  publisher: '1',
  delivery: '1',
  identity: '1',
  policy: '1',
}

describe('the access matrix of the REST API', () => {
  let app: TestApp
  let callers: (string | null)[]

  beforeAll(async () => {
    app = await TestApp.start()
    const ann = await app.createUser('ann')
    const bob = await app.createUser('bob')
    await app.createOrganization('closed', ann, 'private')
    const teams = (await app.api('GET', '/orgs/closed/teams', undefined, ann)).json() as { id: number }[]
    parameters['team'] = String(teams[0]!.id)
    await app.api('PATCH', '/admin/users/ann', { login_name: 'ann', visibility: 'private' })
    await publish(app, { owner: 'closed', name: 'secret', creator: 'ann' })
    await app.api('POST', '/orgs/closed/repos', { name: 'repo' }, ann)
    const categories = ['activitypub', 'admin', 'misc', 'notification', 'organization']
    const reading = [...categories, 'issue', 'package', 'repository', 'user'].map((category) => `read:${category}`)
    const tokens = [['write:misc'], ['public-only', 'all'], reading]
    const secrets = await Promise.all(tokens.map((scopes) => app.createToken('ann', scopes, ann)))
    callers = [null, bob, ...secrets.map((secret) => `Bearer ${secret}`)]
  })
  afterAll(() => app.close())

  test('has a row for every route and no other', async () => {
    const routes: string[] = []
    const other = Fastify()
    other.decorate('services', app.services)
    other.addHook('onRoute', ({ method, url }) => {
      if (method !== 'HEAD') routes.push(`${String(method)} ${url}`)
    })
    await other.register(api)
    await other.ready()
    expect(routes.sort()).toEqual(rows.map(([method, url]) => `${method} ${url}`).sort())
    await other.close()
  })

  test.each(rows)('%s %s', async (method, pattern, ...expected) => {
    const path = pattern.replace(/:(\w+)/g, (_match, name: string) => parameters[name]!)
    const payload = ['GET', 'DELETE'].includes(method) ? undefined : {}
    const statuses: string[] = []
    for (const [index, caller] of callers.entries()) {
      if (expected[index] === '-') statuses.push('-')
      else statuses.push(String((await app.api(method as 'GET', path, payload, caller)).statusCode))
    }
    expect(statuses).toEqual(expected)
  })
})
