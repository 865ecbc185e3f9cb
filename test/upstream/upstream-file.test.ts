import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Type } from 'typebox'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { upstreamAdapters } from '../../src/commands/start.ts'
import { ConfigError } from '../../src/config/config.ts'
import type { UpstreamAdapter } from '../../src/upstream/adapter.ts'
import { readUpstreamFiles } from '../../src/upstream/upstream-file.ts'

let directory: string
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'entrepot-upstreams-'))
})
afterEach(() => rm(directory, { recursive: true }))

const unused = () => {
  throw new Error('not asked')
}
const adapters = new Map<string, UpstreamAdapter>([
  ['npm', { nameDocument: unused, defaultUrl: async () => 'https://registry.corp.example/npm' }],
  ['maven', { nameDocument: unused }],
  [
    'oci',
    {
      nameDocument: unused,
      tokenScope: () => null,
      options: Type.Object({ namespace: Type.Optional(Type.String()) }, { additionalProperties: false }),
    },
  ],
])
const read = (environment: Record<string, string> = {}) => readUpstreamFiles(directory, environment, adapters)
const write = (name: string, text: string) => writeFile(join(directory, name), text)

describe('readUpstreamFiles', () => {
  test('takes the URL from the ecosystem where the file names none, and trusts that host alone', async () => {
    await write('npmjs.yaml', 'type: npm\nowner: npmjs\n')
    const [upstream] = await read()
    expect(upstream).toMatchObject({ name: 'npmjs', type: 'npm', owner: 'npmjs', privateNetwork: 'origin' })
    expect(upstream?.url.href).toBe('https://registry.corp.example/npm/')
  })

  test('the environment overrides one file', async () => {
    await write('my-mirror.yaml', 'type: npm\nowner: m\nurl: https://a.example/\n')
    expect((await read())[0]).toMatchObject({ privateNetwork: 'refused' })
    const [upstream] = await read({
      ENTREPOT_UPSTREAM_MY_MIRROR_URL: 'http://127.0.0.1:9/x',
      ENTREPOT_UPSTREAM_MY_MIRROR_ALLOW_PRIVATE_NETWORK: 'true',
    })
    expect(upstream?.url.href).toBe('http://127.0.0.1:9/x/')
    expect(upstream?.privateNetwork).toBe('allowed')
  })

  test('a directory that does not exist declares nothing', async () => {
    expect(await readUpstreamFiles(join(directory, 'none'), {}, adapters)).toEqual([])
  })

  test.each([
    ['type: npm', {}, /u\.yaml/],
    ['type: npm\nowner: x\nurll: y', {}, /u\.yaml/],
    ['type: cobol\nowner: x', {}, /cobol/],
    ['type: maven\nowner: x', {}, /url/],
    ['type: npm\nowner: x\nurl: ftp://a', {}, /url/],
    ['type: npm\nowner: x\nurl: https://user:secret@a.example/', {}, /url/],
    ['type: npm\nowner: x\nfresh: soon', {}, /fresh/],
    [': :', {}, /u\.yaml/],
    ['type: npm\nowner: x', { ENTREPOT_UPSTREAM_OTHER_URL: 'https://a' }, /ENTREPOT_UPSTREAM_OTHER_URL/],
    ['type: npm\nowner: x', { ENTREPOT_UPSTREAM_U_URL: 'nonsense' }, /ENTREPOT_UPSTREAM_U_URL/],
    ['type: npm\nowner: x', { ENTREPOT_UPSTREAM_U_ALLOW_PRIVATE_NETWORK: 'yes' }, /ENTREPOT_UPSTREAM_U_ALLOW/],
  ])('%j with %j stops the start with a name', async (text, environment, message) => {
    await write('u.yaml', text)
    await expect(read(environment as Record<string, string>)).rejects.toThrow(message)
  })
  const AUTH = 'auth: {kind: docker, usernameEnv: HUB_USER, passwordEnv: HUB_TOKEN, realmHosts: [Auth.A.example]}'

  test('credentials come from the environment by name, and make the mirror private', async () => {
    await write('a.yaml', `type: oci\nowner: a\nurl: https://a.example\n${AUTH}`)
    const [signedIn] = await read({ HUB_USER: 'me', HUB_TOKEN: 'secret' })
    expect(signedIn).toMatchObject({ visibility: 'private', auth: { kind: 'docker', realmHosts: ['auth.a.example'] } })
    expect(signedIn?.auth?.credentials?.authorization).toBe(`Basic ${Buffer.from('me:secret').toString('base64')}`)
    const stranger = { visibility: 'public', auth: { kind: 'docker', credentials: null } }
    expect((await read())[0]).toMatchObject(stranger)
    expect((await read({ HUB_USER: '', HUB_TOKEN: '' }))[0]).toMatchObject(stranger)
  })

  test('the file decides who may read the mirror, credentials or not', async () => {
    await write('a.yaml', `type: oci\nowner: a\nurl: https://a.example\nvisibility: limited\n${AUTH}`)
    expect((await read())[0]?.visibility).toBe('limited')
    expect((await read({ HUB_USER: 'me', HUB_TOKEN: 'secret' }))[0]?.visibility).toBe('limited')
  })

  test('options are those of the type', async () => {
    await write('a.yaml', 'type: oci\nowner: a\nurl: https://a.example\noptions: {namespace: library}')
    await write('b.yaml', 'type: oci\nowner: b\nurl: https://b.example')
    await write('c.yaml', 'type: npm\nowner: c')
    expect((await read()).map(({ options }) => options)).toEqual([{ namespace: 'library' }, {}, {}])
  })

  test.each([
    ['type: oci\nowner: x\nurl: https://a\noptions: {namespace: 1}', {}, /u\.yaml: options\/namespace/],
    ['type: oci\nowner: x\nurl: https://a\noptions: {other: 1}', {}, /u\.yaml: options/],
    ['type: npm\nowner: x\noptions: {}', {}, /u\.yaml: options/],
    ['type: oci\nowner: x\nurl: https://a\nvisibility: secret', {}, /visibility/],
    ['type: oci\nowner: x\nurl: https://a\nauth: {kind: magic}', {}, /auth\/kind/],
    ['type: oci\nowner: x\nurl: https://a\nauth: {kind: docker, password: s}', {}, /auth/],
    ['type: oci\nowner: x\nurl: https://a\nauth: {kind: docker, usernameEnv: U}', {}, /auth: .*together/],
    ['type: oci\nowner: x\nurl: https://a\nauth: {kind: basic}', {}, /auth: .*together/],
    ['type: npm\nowner: x\nauth: {kind: docker}', {}, /auth\/kind: .*npm/],
    [`type: oci\nowner: x\nurl: https://a\n${AUTH}`, { HUB_USER: 'me' }, /HUB_USER is set and HUB_TOKEN is not/],
    [`type: oci\nowner: x\nurl: https://a\n${AUTH}`, { HUB_TOKEN: 'geheim' }, /HUB_TOKEN is set and HUB_USER is not/],
  ])('%j with %j stops the start without telling a secret', async (text, environment, message) => {
    await write('u.yaml', text)
    const error = await read(environment as Record<string, string>).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigError)
    expect((error as Error).message).toMatch(message)
    expect((error as Error).message).not.toContain('geheim')
  })

  describe('of two files', () => {
    const file = (more: string, type = 'oci') => `type: ${type}\nurl: https://a.example\n${more}`

    test.each([
      ['the same owner and type', file('owner: Mirror'), file('owner: mirror')],
      ['an alias that is the other owner', file('owner: one\naliases: [TWO]'), file('owner: two')],
      ['an owner that is an alias of the other', file('owner: one'), file('owner: two\naliases: [one]')],
      ['the same alias', file('owner: one\naliases: [x]'), file('owner: two\naliases: [X]')],
      [
        'the same alias, for different types',
        file('owner: one\naliases: [x]'),
        file('owner: two\naliases: [x]', 'npm'),
      ],
      ['the same registry in serves', file('owner: one\nserves: [r.example]'), file('owner: two\nserves: [R.example]')],
      ['the same host name', file('owner: one\nhosts: [h.example]'), file('owner: two\nhosts: [h.example]')],
    ])('%s stop the start with both names', async (_, first, second) => {
      await write('first.yaml', first)
      await write('second.yaml', second)
      await expect(read()).rejects.toThrow(/first\.yaml and second\.yaml/)
    })

    test('different types may share an owner with its aliases, and host names', async () => {
      const shared = 'owner: one\naliases: [x, one]\nserves: [r.example]\nhosts: [h.example]'
      await write('first.yaml', file(shared))
      await write('second.yaml', file(shared, 'npm'))
      expect(await read()).toHaveLength(2)
    })
  })

  test('the files that ship are usable by the types they are for', async () => {
    const shipped = await readUpstreamFiles('upstreams', {}, upstreamAdapters())
    expect(shipped.map(({ owner }) => owner)).toEqual(expect.arrayContaining(['npmjs', 'docker.io', 'ghcr.io']))
    expect(shipped.map(({ visibility }) => visibility)).toEqual(shipped.map(() => 'public'))
  })
})
