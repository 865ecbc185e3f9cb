import type { LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildBlob, buildImage, type Content, types } from '../support/builders/image.ts'
import { TestApp } from '../support/test-app.ts'

let server: TestApp
let ann: string
let bob: string
const secret = buildBlob('layer of a private image')
const unknown = buildBlob('layer that nobody has sent')

beforeAll(async () => {
  server = await TestApp.start()
  ann = await server.createUser('ann')
  bob = await server.createUser('bob')
  await server.createOrganization('hidden', ann, 'private')
  await server.createOrganization('open', ann)
  for (const owner of ['hidden', 'open']) {
    const image = buildImage({ layers: [owner === 'hidden' ? secret : buildBlob('layer of a package made private')] })
    for (const blob of image.blobs) expect((await push(`${owner}/app`, blob, ann)).statusCode).toBe(201)
    const url = `/v2/${owner}/app/manifests/1`
    expect((await send('PUT', url, ann, image.bytes, { 'content-type': types.manifest })).statusCode).toBe(201)
  }
  const change = await server.api('PATCH', '/packages/open/container/app', { visibility: 'private' }, ann)
  expect(change.statusCode).toBe(204)
})
afterAll(() => server?.close())

const send = (method: string, url: string, as: string, payload?: Buffer, headers: Record<string, string> = {}) =>
  server.inject({
    method: method as 'GET',
    url,
    headers: { authorization: as, ...headers },
    ...(payload === undefined ? {} : { payload }),
  })
const push = (repository: string, { digest, bytes }: Content, as: string) =>
  send('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, as, bytes)

/** Status, headers and body, with one name for what was asked for. */
function readable({ statusCode, headers, body }: LightMyRequestResponse, names: string[]): string {
  const { date: _date, location, 'docker-upload-uuid': uuid, ...rest } = headers
  const text = `${statusCode} ${JSON.stringify(rest)} ${body} ${location === undefined} ${uuid === undefined}`
  return names.reduce((all, name) => all.replaceAll(name, '*'), text)
}

const secrets = [
  { from: 'hidden/app', blob: secret },
  { from: 'open/app', blob: buildBlob('layer of a package made private') },
]

test.each(secrets)('who knows the digest of a blob of $from alone gets it nowhere (security.md S2)', async (known) => {
  const { from, blob } = known
  for (const repository of ['bob/app', from]) {
    for (const method of ['GET', 'HEAD']) {
      const [asked, none] = await Promise.all(
        [blob, unknown].map(({ digest }) => send(method, `/v2/${repository}/blobs/${digest}`, bob)),
      )
      expect(asked!.statusCode).toBe(404)
      expect(readable(asked!, [blob.digest])).toBe(readable(none!, [unknown.digest]))
    }
  }
  const mounts = [
    `mount=${blob.digest}&from=${from}`,
    `mount=${blob.digest}`,
    `mount=${blob.digest}&from=bob/other`,
    `mount=${unknown.digest}&from=${from}`,
  ]
  for (const query of mounts) {
    const { statusCode } = await send('POST', `/v2/bob/app/blobs/uploads/?${query}`, bob)
    expect([query, statusCode]).toEqual([query, 202])
  }
})

test.each(secrets)('no manifest takes a blob of $from by its digest (security.md S2)', async ({ blob }) => {
  const config = buildBlob('{}', types.empty)
  expect((await push('bob/app', config, bob)).statusCode).toBe(201)
  const answers = []
  for (const layer of [blob, unknown]) {
    const image = buildImage({ config, layers: [layer] })
    const answer = await send('PUT', '/v2/bob/app/manifests/1', bob, image.bytes, { 'content-type': types.manifest })
    expect(answer.statusCode).toBe(404)
    answers.push(readable(answer, [layer.digest]))
  }
  expect(answers[0]).toBe(answers[1])
})
