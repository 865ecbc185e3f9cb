import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Phone } from '../support/phone.ts'
import { run, runFailing } from './run.ts'
import { basic, ServerProcess } from './server.ts'
import { Workplace } from './workplace.ts'

const ann = { username: 'ann', password: 'a long enough password 7' } as const

/** Signing in to npm with a password that needs a one-time code, told by the npm client. */
describe('npm and two-factor authentication', () => {
  let server: ServerProcess
  let workplace: Workplace
  let project: string
  let phone: Phone
  let recovery: string[]

  beforeAll(async () => {
    server = await ServerProcess.start()
    await server.createUser(ann.username, ann.password)
    await server.createOrganization('acme', ann)
    workplace = await Workplace.create()
    project = await workplace.project({ 'package.json': { name: '@acme/lib', version: '1.0.0' }, 'index.js': '\n' })
    const begun = await server.rest('POST', '/user/two_factor', undefined, ann)
    phone = new Phone(begun.body.url, Date)
    const confirmed = await server.rest('POST', '/user/two_factor/confirm', { code: phone.code() }, ann)
    expect(confirmed.status).toBe(200)
    recovery = confirmed.body.recovery_codes
  })
  afterAll(async () => {
    await server?.dispose()
    await workplace?.dispose()
  })

  const signedOut = () => workplace.npmrc(`registry=${server.npm('acme')}`)
  const answers = [
    [/username:/i, `${ann.username}\n`],
    [/password:/i, `${ann.password}\n`],
  ] as const
  const login = ['login', '--auth-type=legacy']

  test('without a code npm knows what is missing, with a wrong password it does not', async () => {
    await signedOut()
    expect(await runFailing('npm', login, workplace.in(project, { answers }))).toContain('EOTP')
    const wrong = [answers[0], [/password:/i, 'wrong\n']] as const
    const said = await runFailing('npm', login, workplace.in(project, { answers: wrong }))
    expect(said).toContain('E401')
    expect(said).not.toContain('EOTP')
  })

  test('with --otp it logs in, once with a code, and goes on with a token that needs none', async () => {
    await signedOut()
    // That of now has confirmed, and is used up.
    const withCode = [...login, `--otp=${phone.code(1)}`]
    await run('npm', withCode, workplace.in(project, { answers }))
    expect((await run('npm', ['whoami'], workplace.in(project))).trim()).toBe('ann')
    await run('npm', ['publish'], workplace.in(project))
    await signedOut()
    expect(await runFailing('npm', withCode, workplace.in(project, { answers }))).toContain('EOTP')
  })

  test('on a terminal it asks for the code, and repeats the request with it', async () => {
    await signedOut()
    const typed = [...answers, [/OTP:/, `${recovery[0]}\n`]] as const
    // A terminal of its own: npm asks nobody else.
    const command = ['--quiet', '--return', '--command', ['npm', ...login].join(' '), '/dev/null']
    await run('script', command, workplace.in(project, { answers: typed }))
    expect((await run('npm', ['whoami'], workplace.in(project))).trim()).toBe('ann')
  })

  test('a password in the configuration is good with a code, for one request', async () => {
    const registry = server.npm('acme')
    const auth = basic(ann.username, ann.password).slice('Basic '.length)
    await workplace.npmrc(`registry=${registry}`, `${registry.replace('http:', '')}:_auth=${auth}`)
    const profile = ['profile', 'get', 'name']
    expect(await runFailing('npm', profile, workplace.in(project))).toContain('EOTP')
    const withCode = [...profile, `--otp=${recovery[1]}`]
    expect((await run('npm', withCode, workplace.in(project))).trim()).toBe('ann')
    expect(await runFailing('npm', withCode, workplace.in(project))).toContain('EOTP')
  })
})
