import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Browser } from '../sign-in/browser.ts'
import { OidcServer } from '../sign-in/oidc-server.ts'
import { run } from './run.ts'
import { ServerProcess } from './server.ts'
import { Workplace } from './workplace.ts'

let oidc: OidcServer
let server: ServerProcess
let workplace: Workplace
let baseUrl: string

beforeAll(async () => {
  workplace = await Workplace.create()
  server = await ServerProcess.start()
  baseUrl = server.url
  oidc = await OidcServer.start([`${baseUrl}/login/oidc/corp/callback`])
  const corp = { issuer: oidc.issuer, clientId: oidc.client.id, clientSecretEnv: 'CORP_SECRET', createAccounts: true }
  const config = join(workplace.directory, 'config.yaml')
  await writeFile(config, JSON.stringify({ baseUrl, signIn: { providers: { corp } } }))
  await server.stop()
  await server.restart({ ENTREPOT_CONFIG: config, CORP_SECRET: oidc.client.secret })
  oidc.people.set('sub-nina', { preferred_username: 'nina' })
  oidc.current = 'sub-nina'
})

afterAll(async () => {
  await server?.dispose()
  await oidc?.close()
  await workplace?.dispose()
})

test('npm login waits for somebody who signs in with a browser, and is signed in', async () => {
  const registry = `${baseUrl}/api/packages/nina/npm/`
  // The account, which owns the registry, is made by the first sign-in.
  expect((await new Browser(null, baseUrl).open(`${baseUrl}/login/oidc/corp`)).status).toBe(200)

  const { cwd, env } = workplace.in(await workplace.project({ 'package.json': { name: 'x', version: '1.0.0' } }))
  const npm = spawn('npm', ['login', `--registry=${registry}`], { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = once(npm, 'close') as Promise<[number | null]>
  let printed = ''
  const loginUrl = await new Promise<string>((resolve, reject) => {
    const look = (chunk: Buffer) => {
      printed += chunk.toString()
      const found = /https?:\/\/\S+\/login\?npm=[0-9a-f]{40}/.exec(printed)
      if (found !== null) resolve(found[0])
    }
    npm.stdout.on('data', look)
    npm.stderr.on('data', look)
    void ended.then(([code]) => reject(new Error(`npm ended with ${code}: ${printed}`)))
  })

  const browser = new Browser(null, baseUrl)
  const page = await browser.open(loginUrl)
  const question = await browser.open(/href="([^"]*\/oidc\/corp[^"]*)"/.exec(page.body)![1]!)
  expect(question.body).toContain(registry)
  expect((await browser.submit(`${baseUrl}/login/npm`, {})).status).toBe(200)
  expect([await ended, printed]).toEqual([[0, null], expect.stringContaining('Logged in')])

  const token = `${registry.replace('http:', '')}:_authToken=`
  expect(await readFile(join(workplace.home, '.npmrc'), 'utf8')).toContain(token)
  expect((await run('npm', ['whoami', `--registry=${registry}`], { cwd, env })).trim()).toBe('nina')
})
