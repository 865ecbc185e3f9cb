import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildBlob, buildImage, types } from '../support/builders/image.ts'
import { buildPublication } from '../support/builders/npm.ts'
import { buildNpmTarball } from '../support/builders/npm-tarball.ts'
import { TestApp } from '../support/test-app.ts'

let server: TestApp
let ann: string

beforeAll(async () => {
  server = await TestApp.start()
  ann = await server.createUser('ann')
})
afterAll(() => server?.close())

test('a manifest that can be read in two ways is refused (security.md S33)', async () => {
  const child = buildBlob('{}', types.manifest)
  const plain = buildImage()
  for (const { digest, bytes } of plain.blobs) {
    const url = `/v2/ann/app/blobs/uploads/?digest=${digest}`
    const sent = await server.inject({ method: 'POST', url, headers: { authorization: ann }, payload: bytes })
    expect(sent.statusCode).toBe(201)
  }
  const put = async (bytes: Buffer, type: string) => {
    const headers = { authorization: ann, 'content-type': type }
    return (await server.inject({ method: 'PUT', url: '/v2/ann/app/manifests/1', headers, payload: bytes })).statusCode
  }
  const both = buildImage({ fields: { manifests: [child.descriptor] } })
  expect(await put(both.bytes, types.manifest)).toBe(400)
  expect(await put(both.bytes, types.index)).toBe(400)
  expect(await put(buildImage({ fields: { manifests: [] } }).bytes, types.manifest)).toBe(400)
  expect(await put(buildImage({ fields: { mediaType: types.index } }).bytes, types.manifest)).toBe(400)
  expect(await put(plain.bytes, types.index)).toBe(400)
  expect(await put(plain.bytes, types.manifest)).toBe(201)
})

test('a tarball that says other things than its document is refused (security.md S25)', async () => {
  const publish = async (inside: Record<string, unknown>) => {
    const tarball = await buildNpmTarball(inside)
    const body = await buildPublication({ name: 'pkg', version: '1.0.0', tarball })
    const headers = { authorization: ann, 'content-type': 'application/json' }
    return server.inject({ method: 'PUT', url: '/api/packages/ann/npm/pkg', headers, payload: JSON.stringify(body) })
  }
  expect((await publish({ name: 'other', version: '1.0.0' })).statusCode).toBe(400)
  expect((await publish({ name: 'pkg', version: '2.0.0' })).statusCode).toBe(400)
  const scripts = { postinstall: 'node hidden.js' }
  expect((await publish({ name: 'pkg', version: '1.0.0', scripts })).statusCode).toBe(400)
  expect((await publish({ name: 'pkg', version: '1.0.0', dependencies: { hidden: '1' } })).statusCode).toBe(400)
  expect((await publish({ name: 'pkg', version: '1.0.0' })).statusCode).toBe(201)
})
