import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'
import { beside, runCommand } from './run-command.ts'

describe('limits of tokens, and the audit log, from the command line', () => {
  let app: TestApp
  beforeAll(async () => {
    app = await TestApp.start()
    await app.createUser('ci')
    await app.createOrganization('acme')
  })
  afterAll(() => app.close())

  const run = (args: string[], stdin = '') => runCommand(args, beside(app), { stdin })
  const create = (name: string, ...args: string[]) =>
    run(['token', 'create', 'ci', '--name', name, '--scopes', 'write:package', ...args])
  const own = async (secret: string) =>
    (await app.api('GET', '/token', undefined, `token ${secret.trim()}`)).json() as Record<string, unknown>

  test('mean what the fields of REST mean', async () => {
    const { code, stdout, stderr } = await create(
      ...(['app', '--expires-at', '2090-12-31T00:00:00Z', '--owners', 'ACME, ci', '--types', 'npm'] as const),
      ...['--packages', 'acme/npm/@Acme/*,acme/npm/tool'],
    )
    expect([code, stderr]).toEqual([0, 'Made the token app of ci: write:package, until 2090-12-31T00:00:00Z.\n'])
    expect(await own(stdout)).toMatchObject({
      expires_at: '2090-12-31T00:00:00Z',
      restrictions: {
        owners: ['acme', 'ci'],
        types: ['npm'],
        packages: [
          { owner: 'acme', type: 'npm', name: '@acme/*' },
          { owner: 'acme', type: 'npm', name: 'tool' },
        ],
      },
    })
  })

  test.each([
    ['--expires-at', 'tomorrow', 'must be a time such as'],
    ['--expires-at', '2001-01-01T00:00:00Z', 'must be in the future'],
    ['--owners', 'acme,nobody', 'the owner nobody is not known'],
    ['--owners', '', '--expires-at, --owners'],
    ['--types', 'NPM', '--types'],
    ['--packages', 'acme/npm', 'is not OWNER/TYPE/NAME'],
    ['--packages', 'acme/npm/*a*b*c*', 'is no pattern of names'],
  ])('%s %j is refused, and nothing is made', async (option, value, message) => {
    const { code, stdout, stderr } = await create('bad', option, value)
    expect([code, stdout]).toEqual([1, ''])
    expect(stderr).toContain(message)
    expect(await app.services.models.accessToken.count({ where: { name: 'bad' } })).toBe(0)
  })

  test('the help explains them', async () => {
    const { stdout } = await run(['token', 'create', '--help'])
    for (const option of ['--expires-at TIME', '--owners LIST', '--types LIST', '--packages LIST']) {
      expect(stdout).toContain(option)
    }
  })

  test('S19: what commands change is in the log, without secrets', async () => {
    const password = 'a-very-secret-password'
    await run(['user', 'create', 'eve', '--email', 'eve@example.org', '--password-stdin'], `${password}\n`)
    await run(['user', 'reset-password', 'eve', '--password-stdin'], `${password}2\n`)
    const { stdout: secret } = await create('logged')
    await run(['gc', '--older-than', '1h'])
    const events = (await app.api('GET', '/admin/audit?limit=50')).json() as Record<string, unknown>[]
    const ofCommands = events.filter(({ address }) => address === 'command line')
    expect(ofCommands.slice(0, 4).map(({ action, actor, user }) => [action, actor ?? user ?? null])).toEqual([
      ['garbage.collected', null],
      ['token.created', null],
      ['user.updated', null],
      ['user.created', null],
    ])
    const text = JSON.stringify(events)
    expect(text).not.toContain(password)
    expect(text).not.toContain(secret.trim())
  })
})
