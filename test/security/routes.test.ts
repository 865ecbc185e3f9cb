import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pathAt, rowsOf } from '../matrix/addresses.ts'
import type { Place } from '../support/rights-world.ts'
import { type OpenedApp, startOpened } from '../support/routes.ts'

const place: Place = {
  kind: 'user',
  visibility: 'public',
  name: 'ann',
  package: 'pkg',
  isSecret: false,
  values: {
    owner: 'ann',
    username: 'ann',
    org: 'acme',
    team: '1',
    digest: `sha256:${'0'.repeat(64)}`,
    upload: '0',
    hook: '0',
    delivery: '0',
  },
}

/**
 * Who may use a route is in the table of rights; what administrators alone decide (rights, limits, sign-in, who owns
 * something) is in bodies of `/admin` alone.
 */
const changeable = `
/admin/hooks/:hook: active authorization_header branch_filter config events name
/admin/policies/:policy: expires_at min_age name not_after reason type untrusted_only versions
/admin/upstreams/:upstream: aliases allowPrivateNetwork artifactHosts auth capBytes confirm_exposes_credentials fresh hosts network options serves trust unusedDays url visibility
/admin/users/:username: active admin allow_create_organization allow_git_hook allow_import_local description email full_name location login_name max_repo_creation must_change_password password prohibit_login restricted source_id visibility website
/orgs/:org/cleanup-rules/:type: enabled keep_count keep_pattern match_full_name remove_days remove_pattern
/orgs/:org/hooks/:hook: active authorization_header branch_filter config events name
/orgs/:org/policies/:policy: expires_at min_age name not_after reason type untrusted_only versions
/orgs/:org/trusted_publishers/:publisher: claims issuer lifetime name packages
/orgs/:org: description email full_name location repo_admin_change_team_access visibility website
/packages/:owner/:type/:name: visibility
/repos/:owner/:repository: allow_fast_forward_only_merge allow_manual_merge allow_merge_commits allow_rebase allow_rebase_explicit allow_rebase_update allow_squash_merge archived autodetect_manual_merge default_allow_maintainer_edit default_branch default_delete_branch_after_merge default_merge_style description enable_prune external_tracker external_wiki has_actions has_code has_issues has_packages has_projects has_pull_requests has_releases has_wiki ignore_whitespace_conflicts internal_tracker mirror_interval name private projects_mode template website
/teams/:team: can_create_org_repo description includes_all_repositories name permission units units_map visibility
/user/hooks/:hook: active authorization_header branch_filter config events name
/user/trusted_publishers/:publisher: claims issuer lifetime name packages
/users/:username/cleanup-rules/:type: enabled keep_count keep_pattern match_full_name remove_days remove_pattern
`

let opened: OpenedApp
let ann: string

beforeAll(async () => {
  opened = await startOpened()
  ann = await opened.server.createUser('ann')
  await opened.server.createOrganization('acme', ann)
  await opened.server.api('POST', '/user/repos', { name: 'repo' }, ann)
  await opened.server.inject({
    method: 'PUT',
    url: '/api/packages/ann/generic/pkg/1.0.0/file.txt',
    headers: { authorization: ann },
    payload: 'x',
  })
})
afterAll(() => opened?.server.close())

const send = (
  method: string,
  url: string,
  more: { headers?: Record<string, string>; payload?: string | Buffer; as?: string } = {},
) =>
  opened.server.inject({
    method: method as 'GET',
    url,
    headers: { authorization: more.as ?? opened.server.admin, ...more.headers },
    ...(more.payload === undefined ? {} : { payload: more.payload }),
  })
const rows = () => opened.routes.flatMap(rowsOf)
const objectsOf = (schema: unknown): Record<string, unknown>[] => {
  if (typeof schema !== 'object' || schema === null) return []
  const own = (schema as { type?: unknown }).type === 'object' ? [schema as Record<string, unknown>] : []
  return [...own, ...Object.values(schema).flatMap(objectsOf)]
}

describe('parameters and fields', () => {
  test('a filter on a column that is not for filtering changes nothing (security.md S5)', {
    timeout: 60_000,
  }, async () => {
    const columns = [
      'passwd',
      'password',
      'password_hash',
      'passwordHash',
      'salt',
      'email',
      'token_hash',
      'secret',
      'id',
      'lower_name',
    ]
    const reads = rows().filter(({ route }) => route.method === 'GET' && route.url.startsWith('/api/v1/'))
    const lists = []
    for (const row of reads) {
      const path = pathAt(row, place)
      const plain = await send('GET', path)
      if (plain.statusCode !== 200) continue
      lists.push(row.label)
      for (const value of ['%25', 'a', '0']) {
        const query = columns.map((column) => `${column}=${value}`).join('&')
        const filtered = await send('GET', `${path}${path.includes('?') ? '&' : '?'}${query}`)
        expect([row.label, filtered.statusCode, filtered.body.length]).toEqual([row.label, 200, plain.body.length])
      }
    }
    expect(lists).toContain('GET /api/v1/admin/users')
    expect(lists).toContain('GET /api/v1/users/search')
    expect(lists.length).toBeGreaterThan(25)
    for (const column of ['passwd', 'password', 'email']) {
      const sorted = await send('GET', `/api/v1/admin/users?sort=${column}`)
      expect([column, sorted.statusCode]).toEqual([column, 422])
    }
  })

  test('no body of the REST API takes fields that its schema does not name (security.md S24)', () => {
    const open: string[] = []
    for (const { method, url, schema } of opened.routes) {
      if (!url.startsWith('/api/v1/')) continue
      for (const object of objectsOf(schema.body)) {
        const names = Object.keys(object['properties'] ?? {})
        // What has no properties is taken from Gitea's clients and dropped.
        if (names.length > 0 && object['additionalProperties'] !== false) open.push(`${method} ${url}`)
      }
    }
    expect(open).toEqual([])
  })

  test('each PATCH changes the fields of this table and no others (security.md S23)', () => {
    const lines: string[] = []
    for (const { method, url, schema } of opened.routes) {
      if (method !== 'PATCH' || !url.startsWith('/api/v1/')) continue
      const names = Object.keys((schema.body as { properties?: object })?.properties ?? {})
      lines.push(`${url.slice('/api/v1'.length)}: ${names.sort().join(' ')}`.trim())
    }
    expect(lines.sort()).toEqual(changeable.trim().split('\n').sort())
  })

  test('a body that is larger than any that is meant is refused on every route of the REST API (security.md S34)', {
    timeout: 60_000,
  }, async () => {
    const payload = `{"name":"${'x'.repeat(1024 * 1024)}"}`
    opened.stopsChanges = true
    const taken: string[] = []
    for (const row of rows()) {
      if (row.route.method === 'GET' || !row.route.url.startsWith('/api/v1/')) continue
      const { statusCode } = await send(row.route.method, pathAt(row, place), {
        payload,
        headers: { 'content-type': 'application/json' },
      })
      if (statusCode !== 413) taken.push(`${row.label} ${statusCode}`)
    }
    opened.stopsChanges = false
    expect(taken).toEqual([])
  })

  test('a count says how much at most, whatever is asked for (security.md S34)', { timeout: 60_000 }, async () => {
    const huge = ['limit', 'n', 'size', 'from', 'page', 'offset'].map((name) => `${name}=999999999`).join('&')
    const negative = ['limit', 'n', 'size', 'from', 'page', 'offset'].map((name) => `${name}=-1`).join('&')
    for (const row of rows().filter(({ route }) => route.method === 'GET')) {
      for (const query of [huge, negative]) {
        const path = pathAt(row, place)
        const { statusCode } = await send('GET', `${path}${path.includes('?') ? '&' : '?'}${query}`)
        expect(statusCode, row.label).toBeLessThan(500)
      }
    }
    expect((await send('GET', '/api/v1/admin/users?limit=999999999')).headers['link'] ?? '').not.toContain('999999999')
  })
})

describe('paths', () => {
  const corpus = [
    '..',
    '%2e%2e',
    '..%2f..%2f..%2fcanary',
    '%2e%2e%2f%2e%2e%2fcanary',
    '..%5c..%5ccanary',
    '..%252f..%252fcanary',
    '%252e%252e%252fcanary',
    '%c0%ae%c0%ae%c0%afcanary',
    '%e0%80%ae%e0%80%ae/canary',
    '%ff%fe',
    '%00',
    'canary%00.txt',
    '%2fetc%2fpasswd',
    '/etc/passwd',
    'C:%5ccanary',
    'file:%2f%2f%2fetc%2fpasswd',
    '....//....//canary',
    '..;/canary',
    '%u002e%u002e%u2215canary',
    '~root',
    '%',
    '%zz',
    'a%0d%0ab',
    '\u202e',
    '..%ef%bc%8fcanary',
  ]

  test('no path leaves the store, whatever stands in it (security.md S31)', { timeout: 120_000 }, async () => {
    const { dataDir } = opened.server
    await writeFile(join(dataDir, 'canary'), 'canary-of-the-file-system')
    const before = await listFiles(dataDir)
    const seen: string[] = []
    for (const row of rows()) {
      if (row.route.url.startsWith('/api/v1/admin/users/') || row.route.method === 'DELETE') continue
      const parts = row.path.split('?')[0]!.split('/')
      const places = parts.flatMap((part, index) =>
        index > 2 && (part.startsWith(':') || row.route.url.endsWith('*')) ? [index] : [],
      )
      for (const index of places) {
        for (const text of corpus) {
          const path = parts.map((part, at) => (at === index ? text : part)).join('/')
          const url = pathAt({ ...row, path }, place)
          const response = await send(
            row.route.method,
            url,
            row.route.method === 'GET' ? {} : { payload: '{}', headers: { 'content-type': 'application/json' } },
          )
          if (response.statusCode >= 500 || response.body.includes('canary-of-the-file-system'))
            seen.push(`${row.route.method} ${url} ${response.statusCode}`)
        }
      }
    }
    expect(seen).toEqual([])
    const after = await listFiles(dataDir)
    const added = after.filter((file) => !before.includes(file))
    // The store sees digests, and uploads and the spool have names of their own making.
    for (const file of added) expect(file).toMatch(/^[\w/-]+(\.[a-z0-9-]+)*$/)
    for (const file of added.filter((name) => name.startsWith('blobs/')))
      expect(file).toMatch(/^blobs\/([0-9a-f]{2}\/[0-9a-f]{2}\/[0-9a-f]{64}|.*partial.*)$/)
  })
})

async function listFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
}
