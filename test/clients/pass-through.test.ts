import { gunzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FakeNpmRegistry } from '../support/fake-npm-registry.ts'
import type { RecordedRequest } from '../support/fake-upstream.ts'
import { run, tryRun } from './run.ts'
import { ServerProcess, upstreamAt } from './server.ts'
import { Workplace } from './workplace.ts'

const advisory = {
  id: 4711,
  url: 'https://advisories.example.org/4711',
  title: 'A hole',
  severity: 'high',
  vulnerable_versions: '<2.0.0',
  cwe: [],
  cvss: { score: 7, vectorString: null },
}

/** Audit and search are the upstream's to answer; who asks, and what is private, is not the upstream's to know. */
describe('audit and search pass through', () => {
  let upstream: FakeNpmRegistry
  let server: ServerProcess
  let workplace: Workplace
  let token: string

  beforeAll(async () => {
    upstream = await FakeNpmRegistry.start()
    upstream.auditAnswer = { 'from-upstream': [advisory] }
    upstream.searchAnswer = {
      objects: [
        {
          package: {
            name: 'from-upstream',
            version: '1.2.3',
            description: 'found upstream',
            keywords: [],
            date: '2020-01-01T00:00:00.000Z',
            links: { npm: `${upstream.url}package/from-upstream` },
            maintainers: [],
            publisher: { username: 'someone' },
          },
          score: { final: 1, detail: { quality: 1, popularity: 1, maintenance: 1 } },
          searchScore: 1,
        },
      ],
      total: 1,
      time: '2020-01-01T00:00:00.000Z',
    }
    await upstream.publish({ name: 'from-upstream', version: '1.2.3' })
    server = await ServerProcess.start(upstreamAt(upstream.url))
    await server.createOrganization('acme')
    token = await server.createToken(['write:package'])
    workplace = await Workplace.create()
  })
  afterAll(async () => {
    await server?.dispose()
    await upstream?.close()
    await workplace?.dispose()
  })

  async function useRegistry(owner: string): Promise<void> {
    const registry = server.npm(owner)
    await workplace.npmrc(`registry=${registry}`, `${registry.replace('http:', '')}:_authToken=${token}`)
  }

  test('npm audit reports what the upstream knows', async () => {
    await useRegistry('npmjs')
    const project = await workplace.project({ 'package.json': { name: 'user', version: '1.0.0' } })
    await run('npm', ['install', '--no-audit', 'from-upstream'], workplace.in(project))
    const audit = await tryRun('npm', ['audit', '--json'], workplace.in(project))
    expect(JSON.parse(audit.stdout)).toMatchObject({
      vulnerabilities: { 'from-upstream': { severity: 'high', via: [{ title: 'A hole' }] } },
    })
    expect(audit.code).toBe(1)
    expect(bodiesOf(upstream.audits)).toEqual([{ 'from-upstream': ['1.2.3'] }])
    expectNoSecrets(upstream.audits)
  })

  test('npm search prints what the upstream finds', async () => {
    await useRegistry('npmjs')
    const project = await workplace.project({ 'package.json': { name: 'user', version: '1.0.0' } })
    const found = JSON.parse(await run('npm', ['search', 'some words', '--json'], workplace.in(project)))
    expect(found).toMatchObject([{ name: 'from-upstream', version: '1.2.3', description: 'found upstream' }])
    expect(upstream.searches).toHaveLength(1)
    expect(new URLSearchParams(upstream.searches[0]?.query).get('text')).toBe('some words')
    expectNoSecrets(upstream.searches)
  })

  test('the audit of a project with private packages does not name them upstream', async () => {
    await useRegistry('acme')
    const lib = await workplace.project({
      'package.json': { name: '@acme/secret-lib', version: '1.0.0' },
      'index.js': '',
    })
    await run('npm', ['publish'], workplace.in(lib))
    const attached = await server.rest('PUT', '/orgs/acme/upstreams/npm', [{ upstream: 'npmjs' }])
    expect(attached.status).toBeLessThan(300)
    const project = await workplace.project({ 'package.json': { name: 'user', version: '1.0.0' } })
    await run('npm', ['install', '--no-audit', '@acme/secret-lib', 'from-upstream'], workplace.in(project))
    upstream.audits.length = 0
    const audit = await tryRun('npm', ['audit', '--json'], workplace.in(project))
    expect(JSON.parse(audit.stdout).vulnerabilities).toHaveProperty('from-upstream')
    expect(bodiesOf(upstream.audits)).toEqual([{ 'from-upstream': ['1.2.3'] }])
    expectNoSecrets(upstream.upstream.requests)
    expect(upstream.upstream.requests.filter(({ path }) => path.includes('secret-lib'))).toEqual([])
  })

  test('the upstream failing is reported as such', async () => {
    await useRegistry('npmjs')
    await upstream.upstream.down()
    const response = await fetch(`${server.npm('npmjs')}-/v1/search?text=x`)
    expect([502, 503, 504]).toContain(response.status)
    await upstream.upstream.up()
  })

  function expectNoSecrets(requests: readonly RecordedRequest[]): void {
    expect(requests.length).toBeGreaterThan(0)
    for (const { headers } of requests) {
      for (const name of [
        'authorization',
        'cookie',
        'npm-otp',
        'npm-session',
        'npm-auth-type',
        'npm-scope',
        'referer',
      ]) {
        expect(headers).not.toHaveProperty(name)
      }
      expect(JSON.stringify(headers)).not.toContain(token)
      expect(headers.host).toBe(new URL(upstream.url).host)
    }
  }
})

function bodiesOf(requests: readonly RecordedRequest[]): unknown[] {
  return requests.map(({ headers, body }) =>
    JSON.parse((headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body).toString()),
  )
}
