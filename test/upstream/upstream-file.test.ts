import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
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
})
