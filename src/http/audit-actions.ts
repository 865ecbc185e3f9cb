import type { FastifyRequest, RouteOptions } from 'fastify'

/**
 * What a request that may change something is called in the audit log; null: it changes nothing, or what it changes is
 * recorded as something else. A route that is not here is recorded by its method and URL, and fails a test.
 */
const actions: Readonly<Record<string, string | null>> = {
  'POST /api/v1/users/:username/tokens': 'token.created',
  'DELETE /api/v1/users/:username/tokens/:token': 'token.deleted',
  'DELETE /api/v1/token': 'token.deleted',
  // Without effect until it is confirmed.
  'POST /api/v1/user/two_factor': 'two-factor.begun',
  'POST /api/v1/user/two_factor/confirm': 'two-factor.enabled',
  'DELETE /api/v1/user/two_factor': 'two-factor.disabled',
  'DELETE /api/v1/admin/users/:username/two_factor': 'two-factor.disabled',
  'POST /api/v1/orgs': 'organization.created',
  'POST /api/v1/admin/users/:username/orgs': 'organization.created',
  'PATCH /api/v1/orgs/:org': 'organization.updated',
  'DELETE /api/v1/orgs/:org': 'organization.deleted',
  'POST /api/v1/orgs/:org/rename': 'organization.renamed',
  'DELETE /api/v1/orgs/:org/members/:username': 'organization.member.removed',
  'PUT /api/v1/orgs/:org/public_members/:username': 'organization.member.shown',
  'DELETE /api/v1/orgs/:org/public_members/:username': 'organization.member.hidden',
  'POST /api/v1/orgs/:org/teams': 'team.created',
  'PATCH /api/v1/teams/:team': 'team.updated',
  'DELETE /api/v1/teams/:team': 'team.deleted',
  'PUT /api/v1/teams/:team/members/:username': 'team.member.added',
  'DELETE /api/v1/teams/:team/members/:username': 'team.member.removed',
  'PUT /api/v1/teams/:team/repos/:org/:repository': 'team.repository.added',
  'DELETE /api/v1/teams/:team/repos/:org/:repository': 'team.repository.removed',
  // Of a hosted version its events say it.
  'DELETE /api/v1/packages/:owner/:type/:name': 'package.deleted',
  'DELETE /api/v1/packages/:owner/:type/:name/:version': 'package.deleted',
  'PATCH /api/v1/packages/:owner/:type/:name': 'package.visibility',
  'POST /api/v1/packages/:owner/:type/:name/-/link/:repository': 'package.linked',
  'POST /api/v1/packages/:owner/:type/:name/-/unlink': 'package.unlinked',
  'POST /api/v1/user/repos': 'repository.created',
  'POST /api/v1/orgs/:org/repos': 'repository.created',
  'POST /api/v1/org/:org/repos': 'repository.created',
  'PATCH /api/v1/repos/:owner/:repository': 'repository.updated',
  'DELETE /api/v1/repos/:owner/:repository': 'repository.deleted',
  'PUT /api/v1/admin/users/:username/quota/limits': 'quota.changed',
  ...ofPlaces(['/orgs/:org', '/users/:username'], '/cleanup-rules', {
    'POST ': 'cleanup-rule.created',
    'POST /preview': null,
    'PATCH /:type': 'cleanup-rule.updated',
    'DELETE /:type': 'cleanup-rule.deleted',
  }),
  'POST /api/v1/admin/upstreams/:upstream/mode': 'upstream.mode',
  'POST /api/v1/admin/upstreams/:upstream/invalidate': 'upstream.invalidated',
  'POST /api/v1/admin/upstreams/:upstream/purge': 'upstream.purged',
  'PUT /api/v1/admin/upstreams/:upstream/pins': 'upstream.pinned',
  'DELETE /api/v1/admin/upstreams/:upstream/pins': 'upstream.unpinned',
  'POST /api/v1/admin/upstreams': 'upstream.created',
  'PATCH /api/v1/admin/upstreams/:upstream': 'upstream.updated',
  'DELETE /api/v1/admin/upstreams/:upstream': 'upstream.deleted',
  // They ask, and keep nothing.
  'POST /api/v1/admin/upstreams/test': null,
  'POST /api/v1/admin/upstreams/:upstream/test': null,
  'PUT /api/v1/orgs/:org/upstreams/:type': 'upstreams.attached',
  'PUT /api/v1/orgs/:org/reserved-names/:type': 'reserved-names.replaced',
  'PUT /api/v1/orgs/:org/bindings/:type/:name': 'name-binding.changed',
  'DELETE /api/v1/orgs/:org/bindings/:type/:name': 'name-binding.cleared',
  ...ofPlaces(['/orgs/:org', '/admin'], '/policies', {
    'POST ': 'policy.created',
    'PATCH /:policy': 'policy.updated',
    'DELETE /:policy': 'policy.deleted',
  }),
  'POST /api/v1/admin/policies/presets/recommended': 'policy.created',
  ...ofPlaces(['/orgs/:org', '/user', '/admin'], '/hooks', {
    'POST ': 'webhook.created',
    'PATCH /:hook': 'webhook.updated',
    'DELETE /:hook': 'webhook.deleted',
    'POST /:hook/tests': 'webhook.tested',
    'POST /:hook/deliveries/:delivery/redeliver': 'webhook.redelivered',
  }),
  ...ofPlaces(['/orgs/:org', '/user'], '/trusted_publishers', {
    'POST ': 'trusted-publisher.created',
    'PATCH /:publisher': 'trusted-publisher.updated',
    'DELETE /:publisher': 'trusted-publisher.deleted',
  }),
  // Recorded as `token.exchanged`, with the publishers.
  'POST /api/v1/trusted_publishing/token': null,
  'POST /-/npm/v1/oidc/token/exchange/package/:name': null,
  'POST /api/v1/admin/users': 'user.created',
  'PATCH /api/v1/admin/users/:username': 'user.updated',
  'DELETE /api/v1/admin/users/:username': 'user.deleted',
  'POST /api/v1/admin/users/:username/identities': 'identity.linked',
  'DELETE /api/v1/admin/users/:username/identities/:identity': 'identity.unlinked',
  'POST /api/v1/admin/users/:username/rename': 'user.renamed',
  'POST /api/v1/admin/cron/:task': 'task.started',
  // The registry's own tokens end by themselves, and have the rights of what they were made for.
  'POST /v2/token': null,
  'POST /mirror/:mirror/v2/token': null,
  // The sign-in says itself what comes of it: it alone knows whose it is.
  'POST /login/token': null,
  'POST /login/npm': null,
  'POST /api/packages/:owner/npm/-/v1/login': null,
  'PUT /api/packages/:owner/npm/-/user/:user': 'token.created',
  'PUT /api/packages/:owner/npm/-/user/:user/-rev/:revision': 'token.created',
  'DELETE /api/packages/:owner/npm/-/user/token/:token': 'token.deleted',
  'POST /api/packages/:owner/npm/-/npm/v1/tokens': 'token.created',
  'DELETE /api/packages/:owner/npm/-/npm/v1/tokens/token/:key': 'token.deleted',
}

/** Whether requests of the method may change something. */
export function isUnsafe(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS'
}

/** What the log calls a route with one of its methods; undefined: nobody has decided. */
export function declaredAction({ url, config }: RouteOptions, method: string): string | null | undefined {
  const declared = actions[`${method} ${url}`]
  if (declared !== undefined || url.startsWith('/api/v1/')) return declared
  if (config?.access === 'write' || config?.access === 'remove') return 'package.changed'
  return config?.access === 'read' ? null : undefined
}

/** Every key of the table, for the test that compares it with the routes. */
export const declaredRoutes: readonly string[] = Object.keys(actions)

/** Parts of a change that say nothing by themselves. */
export function isPartOfUpload({ target, url }: FastifyRequest): boolean {
  const path = url.split('?', 1)[0]!
  if (target?.type === 'container') return /\/blobs\/uploads(\/|$)/.test(path)
  return target?.type === 'maven' && /\.(md5|sha1|sha256|sha512|asc)$/.test(path)
}

function ofPlaces(places: string[], below: string, rows: Record<string, string | null>): Record<string, string | null> {
  return Object.fromEntries(
    places.flatMap((place) =>
      Object.entries(rows).map(([row, action]) => {
        const [method, rest = ''] = row.split(' ')
        return [`${method} /api/v1${place}${below}${rest}`, action] as const
      }),
    ),
  )
}
