import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { FakeUpstream } from '../support/fake-upstream.ts'
import { TestApp } from '../support/test-app.ts'

const MIB = 1024 * 1024

let fake: FakeUpstream
let server: TestApp

beforeEach(async () => {
  fake = await FakeUpstream.start()
  server = await TestApp.start({
    upstreams: { npmjs: { type: 'npm', owner: 'npmjs', url: fake.url, allowPrivateNetwork: true } },
  })
})
afterEach(async () => {
  await server.close()
  await fake.close()
})

/** Over a socket, which sees resets. */
async function search(): Promise<{ status: number; size: number; isWhole: boolean }> {
  const response = await fetch(`${await server.listen()}/api/packages/npmjs/npm/-/v1/search?text=x`)
  let size = 0
  try {
    for await (const chunk of response.body!) size += (chunk as Uint8Array).length
    return { status: response.status, size, isWhole: true }
  } catch {
    return { status: response.status, size, isWhole: false }
  }
}

describe('an answer that is passed through (pull-through.md §6.1)', () => {
  const AT = '/-/v1/search'

  test('of up to 10 MiB arrives as it is', async () => {
    const body = Buffer.alloc(10 * MIB, ' ')
    fake.on(AT, { body, headers: { 'content-type': 'application/json' } })
    expect(await search()).toEqual({ status: 200, size: body.length, isWhole: true })
    expect(fake.requests[0]?.headers['cdn-loop']).toMatch(/^entrepot-/)
  })

  test('of more is refused, or cut off where its length was not announced', async () => {
    fake.on(AT, { body: Buffer.alloc(10 * MIB + 1, ' ') })
    expect((await search()).status).toBe(502)
    fake.on(AT, { body: Buffer.alloc(12 * MIB, ' '), chunked: true })
    const { size, isWhole } = await search()
    expect(isWhole).toBe(false)
    expect(size).toBeLessThanOrEqual(10 * MIB)
  })
})
