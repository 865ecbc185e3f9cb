import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { OidcIssuer } from '../trusted-publishing/oidc-issuer.ts'
import { run, runFailing } from './run.ts'
import { ServerProcess } from './server.ts'
import { Workplace } from './workplace.ts'

const JOB = 'repo:acme/tools:ref:refs/heads/main'
/** What npm takes for itself (npm 11, lib/utils/oidc.js). */
const AUDIENCE = 'npm:127.0.0.1'

/** `npm publish` in CI jobs that have no credentials but what their CI gives them. */
describe('npm publishes without a stored secret', () => {
  let issuer: OidcIssuer
  let server: ServerProcess
  let workplace: Workplace
  let actions: Server
  const asked: { audience: string | null; authorization: string | undefined }[] = []

  beforeAll(async () => {
    issuer = await OidcIssuer.start({ [JOB]: { repository: 'acme/tools' }, stranger: { repository: 'evil/tools' } })
    server = await ServerProcess.start({ ENTREPOT_TRUSTED_PUBLISHING_ALLOWED_HOSTS: '127.0.0.1' })
    await server.createOrganization('acme')
    const packages = [
      { type: 'npm', name: 'tool' },
      { type: 'npm', name: '@acme/*' },
    ]
    const publisher = { name: 'ci', issuer: issuer.url, claims: { repository: 'acme/tools' }, packages }
    expect((await server.rest('POST', '/orgs/acme/trusted_publishers', publisher)).status).toBe(201)
    workplace = await Workplace.create()
    await workplace.npmrc(`registry=${server.npm('acme')}`)
    // What GitHub Actions gives its jobs.
    actions = createServer((request, response) => {
      const audience = new URL(request.url!, 'http://127.0.0.1').searchParams.get('audience')
      asked.push({ audience, authorization: request.headers.authorization })
      void issuer.idToken(JOB, audience ?? '').then((value) => response.end(JSON.stringify({ value })))
    }).listen(0, '127.0.0.1')
    await once(actions, 'listening')
  })
  afterAll(async () => {
    actions?.close()
    await server?.dispose()
    await issuer?.close()
    await workplace?.dispose()
  })

  const project = (name: string, more: object = {}) =>
    workplace.project({ 'package.json': { name, version: '1.0.0', ...more }, 'index.js': 'module.exports = 1\n' })
  const gitlab = async (job: string, audience = AUDIENCE) => ({
    GITLAB_CI: 'true',
    NPM_ID_TOKEN: await issuer.idToken(job, audience),
  })

  test('in GitLab CI, with npm’s audience and with ours', async () => {
    const tool = await project('tool')
    expect(await run('npm', ['publish'], workplace.in(tool, {}, await gitlab(JOB)))).toContain('tool@1.0.0')
    const scoped = await project('@acme/lib')
    const environment = await gitlab(JOB, server.url)
    expect(await run('npm', ['publish'], workplace.in(scoped, {}, environment))).toContain('@acme/lib@1.0.0')
    const { body } = await server.rest('GET', '/packages/acme/npm/tool/1.0.0')
    expect(body.creator.login).toBe('acme')
  })

  test('in GitHub Actions', async () => {
    const { port } = actions.address() as AddressInfo
    const environment = {
      GITHUB_ACTIONS: 'true',
      ACTIONS_ID_TOKEN_REQUEST_URL: `http://127.0.0.1:${port}/token?api-version=2.0`,
      ACTIONS_ID_TOKEN_REQUEST_TOKEN: 'of-the-job',
    }
    const action = await project('@acme/action')
    expect(await run('npm', ['publish'], workplace.in(action, {}, environment))).toContain('@acme/action@1.0.0')
    expect(asked).toEqual([{ audience: AUDIENCE, authorization: 'Bearer of-the-job' }])
  })

  test('several workspaces with one id-token: the first exchange gives a token for all of them', async () => {
    const root = await workplace.project({
      'package.json': { name: 'root', version: '1.0.0', private: true, workspaces: ['one', 'two'] },
      'one/package.json': { name: '@acme/one', version: '1.0.0' },
      'two/package.json': { name: '@acme/two', version: '1.0.0' },
    })
    const printed = await run('npm', ['publish', '--workspaces'], workplace.in(root, {}, await gitlab(JOB)))
    for (const name of ['@acme/one', '@acme/two']) expect(printed).toContain(`${name}@1.0.0`)
  })

  test('jobs of others, other packages and used tokens are refused, and npm says why', async () => {
    const publish = async (name: string, environment: Record<string, string>) =>
      runFailing('npm', ['publish', '--loglevel', 'verbose'], workplace.in(await project(name), {}, environment))
    expect(await publish('@acme/stolen', await gitlab('stranger'))).toContain('no trusted publisher here fits')
    expect(await publish('another', await gitlab(JOB))).toContain('no trusted publisher here fits')
    expect(await publish('@acme/other', await gitlab(JOB, 'npm:other.example.org'))).toContain('another audience')
    const used = await gitlab(JOB)
    await run('npm', ['publish'], workplace.in(await project('@acme/once'), {}, used))
    expect(await publish('@acme/twice', used)).toContain('has been used already')
  })
})
