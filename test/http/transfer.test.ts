import { once } from 'node:events'
import { createServer, get, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { giveBuffer, takeBuffer } from '../../src/http/send-buffers.ts'
import { type Ending, transfer } from '../../src/http/transfer.ts'

let server: Server
let ending: Promise<Ending>
let size = 0

beforeEach(async () => {
  server = createServer((_request, response: ServerResponse) => {
    const source = {
      size,
      read: async (buffer: Buffer, position: number) => Math.max(0, Math.min(buffer.length, size - position)),
      close: () => {},
    }
    ending = transfer(response, source, { start: 0, length: size }, () => response.writeHead(200))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})

afterEach(() => {
  server.closeAllConnections()
  server.close()
})

async function download(): Promise<void> {
  const { port } = server.address() as AddressInfo
  const [response] = (await once(get({ port, host: '127.0.0.1' }), 'response')) as [IncomingMessage]
  response.resume()
  await once(response, 'end')
}

it.each([0, 10, 600_000, 5_000_000])(
  '%i bytes that arrive have been sent, and the buffer serves again',
  async (bytes) => {
    size = bytes
    await download()
    expect(await ending).toEqual({ how: 'sent' })
    const first = takeBuffer(bytes)
    giveBuffer(first, true)
    await download()
    expect(await ending).toEqual({ how: 'sent' })
    const again = takeBuffer(bytes)
    expect(again).toBe(first)
    giveBuffer(again, true)
  },
)

it('buffers are small for small answers, and for all when many are in use', () => {
  expect(takeBuffer(1000).length).toBe(65_536)
  const taken = Array.from({ length: 100 }, () => takeBuffer(null))
  const sizes = taken.map(({ length }) => length)
  expect(new Set(sizes)).toEqual(new Set([524_288, 65_536]))
  expect(sizes.filter((length) => length === 524_288)).toHaveLength(64)
  for (const buffer of taken) giveBuffer(buffer, true)
  const after = takeBuffer(null)
  expect(after.length).toBe(524_288)
  expect(taken).toContain(after)
  giveBuffer(after, true)
})
