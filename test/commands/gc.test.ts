import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'
import { beside, runCommand } from './run-command.ts'

describe('gc from the command line', () => {
  let app: TestApp
  beforeAll(async () => {
    app = await TestApp.start()
  })
  afterAll(() => app.close())

  const path = (version: number) => `/api/packages/root/generic/app/${version}/app.bin`
  const put = async (version: number, payload: string) => {
    const response = await app.inject({ method: 'PUT', url: path(version), payload, headers: headers() })
    expect(response.statusCode).toBe(201)
  }
  const remove = async (version: number) => {
    const url = `/api/v1/packages/root/generic/app/${version}`
    expect((await app.inject({ method: 'DELETE', url, headers: headers() })).statusCode).toBe(204)
  }
  const headers = () => ({ authorization: app.admin })
  const gc = (...args: string[]) => runCommand(['gc', ...args], beside(app))

  test('frees what is old enough, counts the bytes that were really there, and leaves the rest', async () => {
    for (let version = 1; version <= 30; version += 1) await put(version, `version ${version}`.padEnd(1_000, '.'))
    await put(31, 'x'.repeat(77))
    const gone = await app.services.models.packageBlob.findOne({ where: { size: 77 } })
    for (let version = 2; version <= 31; version += 1) await remove(version)
    // Nobody can free it twice.
    await app.services.packages.blobs.delete(gone!.hashSha256)
    expect(await gc()).toMatchObject({ code: 0, stdout: expect.stringMatching(/^Freed 0 bytes /), stderr: '' })
    const { code, stdout, stderr } = await gc('--older-than', '0ms')
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toContain('Freed 28.3 KiB (29000 bytes). Deleted:\n')
    expect(stdout).toMatch(/\n {2}blobs +30\n/)
    expect((await app.inject({ method: 'GET', url: path(1) })).body).toBe('version 1'.padEnd(1_000, '.'))
    expect(await app.services.models.packageBlob.count()).toBe(1)
  })

  test('counts packages without versions and unfinished uploads too', async () => {
    await remove(1)
    await app.services.packages.uploads.open({ userId: 1, ownerId: 1, name: 'app' })
    await new Promise((resolve) => setTimeout(resolve, 5))
    const { stdout } = await gc('--older-than', '0ms')
    expect(stdout).toMatch(/\n {2}unfinished uploads +1\n/)
    expect(stdout).toMatch(/\n {2}packages without versions +1\n/)
    expect(stdout).toMatch(/\n {2}blobs +1\n/)
  })
})
