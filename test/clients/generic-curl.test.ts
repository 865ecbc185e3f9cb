import { readFile, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { noise } from '../support/builders/npm-tarball.ts'
import { hasCommand } from './clients.ts'
import { run } from './run.ts'
import { admin, ServerProcess } from './server.ts'
import { Workplace } from './workplace.ts'

const curlIsThere = hasCommand('curl')
const bytes = noise(5_000_000)

/** generic.md §6, as the page tells users to type it. */
describe.skipIf(!curlIsThere)('generic packages by curl', () => {
  let server: ServerProcess
  let workplace: Workplace
  let directory: string
  let registry: string
  let token: string

  beforeAll(async () => {
    server = await ServerProcess.start()
    await server.createOrganization('acme')
    token = await server.createToken(['write:package'])
    registry = `${server.url}/api/packages/acme/generic`
    workplace = await Workplace.create()
    directory = await workplace.project({ 'note.txt': 'a note\n' })
    await writeFile(join(directory, 'app.bin'), bytes)
  })
  afterAll(async () => {
    await server?.dispose()
    await workplace?.dispose()
  })

  /** Runs curl; resolves to the status it saw. */
  async function curl(...args: string[]): Promise<number> {
    return Number(await run('curl', ['-sS', '-w', '%{http_code}', '-o', 'answer', ...args], workplace.in(directory)))
  }
  const user = `${admin.username}:${admin.password}`
  const read = (name: string): Promise<Buffer> => readFile(join(directory, name))

  test('upload, and not twice', async () => {
    expect(await curl('--user', user, '--upload-file', 'app.bin', `${registry}/app/1.2.0/app.bin`)).toBe(201)
    expect(await curl('--user', user, '--upload-file', 'app.bin', `${registry}/app/1.2.0/app.bin`)).toBe(409)
    expect(await curl('--upload-file', 'app.bin', `${registry}/app/1.2.0/other.bin`)).toBe(401)
    expect(await curl(`${registry}/app/1.2.0/other.bin`)).toBe(404)
  })

  test('upload of a form, of a pipe without length, and of an empty file, by token', async () => {
    const bearer = ['-H', `Authorization: token ${token}`]
    expect(await curl(...bearer, '-X', 'PUT', '-F', 'file=@note.txt', `${registry}/app/1.2.0/note.txt`)).toBe(201)
    const piped = `cat app.bin | curl -sS -w '%{http_code}' -o answer -u alice:${token} -T - ${registry}/app/1.2.0/piped.bin`
    expect(await run('sh', ['-c', piped], workplace.in(directory))).toBe('201')
    expect(await curl(...bearer, '-X', 'PUT', '-H', 'Content-Length: 0', `${registry}/app/1.2.0/empty`)).toBe(201)
    for (const [name, content] of [
      ['note.txt', 'a note\n'] as const,
      ['piped.bin', bytes] as const,
      ['empty', ''] as const,
    ]) {
      expect(await curl(`${registry}/app/1.2.0/${name}`)).toBe(200)
      expect((await read('answer')).equals(Buffer.from(content))).toBe(true)
    }
  })

  test('names that lead elsewhere are refused', async () => {
    for (const path of [
      'app/1.0.0/..%2fevil',
      'app/..%2f..%2fevil/x',
      '..%2fapp/1.0.0/x',
      'app/1.0.0/a%00b',
      'app/1.0.0/a%0ab',
    ]) {
      expect(await curl('--user', user, '--path-as-is', '--upload-file', 'note.txt', `${registry}/${path}`)).toBe(400)
    }
  })

  test('download, whole and in part', async () => {
    expect(await curl('-D', 'headers', `${registry}/app/1.2.0/app.bin`)).toBe(200)
    expect((await read('answer')).equals(bytes)).toBe(true)
    const headers = (await read('headers')).toString().toLowerCase()
    for (const line of [
      'content-length: 5000000',
      'accept-ranges: bytes',
      'x-content-type-options: nosniff',
      'etag: "',
      'attachment',
    ]) {
      expect(headers).toContain(line)
    }
    expect(await curl('-r', '1000-1999', `${registry}/app/1.2.0/app.bin`)).toBe(206)
    expect((await read('answer')).equals(bytes.subarray(1000, 2000))).toBe(true)
    expect(await curl('-r', '-10', `${registry}/app/1.2.0/app.bin`)).toBe(206)
    expect((await read('answer')).equals(bytes.subarray(-10))).toBe(true)
    expect(await curl('-r', '5000000-', `${registry}/app/1.2.0/app.bin`)).toBe(416)
  })

  test('HEAD has the headers of GET and no body', async () => {
    expect(await curl('-I', `${registry}/app/1.2.0/app.bin`)).toBe(200)
    expect((await read('answer')).toString().toLowerCase()).toContain('content-length: 5000000')
  })

  test('a download is resumed where it broke off', async () => {
    await writeFile(join(directory, 'resumed'), bytes)
    await truncate(join(directory, 'resumed'), 1_234_567)
    const url = `${registry}/app/1.2.0/app.bin`
    await run('curl', ['-fsSL', '-C', '-', '-o', 'resumed', '-D', 'headers', url], workplace.in(directory))
    expect((await read('headers')).toString()).toMatch(/ 206 /)
    expect((await read('resumed')).equals(bytes)).toBe(true)
  })

  test('what is already there is not sent again', async () => {
    const url = `${registry}/app/1.2.0/app.bin`
    await run('curl', ['-fsS', '--etag-save', 'etag', '-o', 'whole', url], workplace.in(directory))
    expect(await curl('--etag-compare', 'etag', url)).toBe(304)
    expect((await stat(join(directory, 'whole'))).size).toBe(bytes.length)
  })

  test('delete: one file, then the version', async () => {
    expect(await curl('-X', 'DELETE', `${registry}/app/1.2.0/app.bin`)).toBe(401)
    expect(await curl('--user', user, '-X', 'DELETE', `${registry}/app/1.2.0/app.bin`)).toBe(204)
    expect(await curl(`${registry}/app/1.2.0/app.bin`)).toBe(404)
    expect(await curl(`${registry}/app/1.2.0/piped.bin`)).toBe(200)
    expect(await curl('--user', user, '-X', 'DELETE', `${registry}/app/1.2.0`)).toBe(204)
    expect(await curl(`${registry}/app/1.2.0/piped.bin`)).toBe(404)
    expect((await server.rest('GET', '/packages/acme')).body).toEqual([])
  })
})
