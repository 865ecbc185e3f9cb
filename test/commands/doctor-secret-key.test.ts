import { chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'
import { beside, runCommand } from './run-command.ts'

describe('doctor about the secret key', () => {
  let app: TestApp
  let path: string
  beforeAll(async () => {
    app = await TestApp.start()
    path = join(app.dataDir, 'secret-key')
    const config = { url: 'https://hooks.example.org/', content_type: 'json', secret: 'a-secret' }
    const response = await app.api('POST', '/user/hooks', { type: 'gitea', config, authorization_header: 'Bearer x' })
    expect(response.statusCode).toBe(201)
  })
  afterAll(() => app.close())

  const lineOf = async () => {
    const { code, stdout } = await runCommand(['doctor'], beside(app))
    return { code, line: stdout.split('\n').find((line) => line.includes(' secret key ')) }
  }

  test('it opens what is in the database', async () => {
    expect((await lineOf()).line).toMatch(/^ok .*secret-key, 2 secrets open with it$/)
  })

  test.each([
    ['others may read it', () => chmod(path, 0o644), /^fail .* has the mode 644: others/],
    ['it is another', () => writeFile(path, Buffer.alloc(32, 9).toString('base64')), /^fail .*2 of 2 secrets were/],
    ['it is short', () => writeFile(path, 'AAAA'), /^fail .* is not a key of 32 bytes/],
    ['it is gone', () => rm(path), /^fail .* is not there, and 2 secrets were encrypted with it$/],
  ])('%s', async (_what, harm, message) => {
    await harm()
    const { code, line } = await lineOf()
    expect(line).toMatch(message)
    expect(code).toBe(1)
    await writeFile(path, 'AAAA')
    await chmod(path, 0o600)
  })
})
