import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'

let server: TestApp
let url: string
let alice: string

beforeAll(async () => {
  server = await TestApp.start({ environment: { ENTREPOT_PACKAGES_LIMITS_GENERIC: '100' } })
  alice = await server.createUser('alice')
  url = await server.listen()
})
afterAll(() => server.close())

/** A PUT that waits to be told before it sends its body. */
function put(path: string, headers: Record<string, string | number>): ClientRequest {
  const outgoing = request(`${url}/api/packages/alice/generic${path}`, {
    method: 'PUT',
    agent: false,
    headers: { expect: '100-continue', ...headers },
  })
  outgoing.flushHeaders()
  return outgoing
}

/** Sends the body when told to; the status, and whether that happened. */
async function upload(outgoing: ClientRequest, body: string): Promise<{ answer: IncomingMessage; wasTold: boolean }> {
  let wasTold = false
  outgoing.on('continue', () => {
    wasTold = true
    outgoing.end(body)
  })
  const [answer] = (await once(outgoing, 'response')) as [IncomingMessage]
  answer.resume()
  await once(answer, 'end')
  outgoing.destroy()
  return { answer, wasTold }
}

describe('a client that asks before it sends', () => {
  test('is told to when its upload is welcome', async () => {
    const outgoing = put('/app/1.0/app.bin', { authorization: alice, 'content-length': 5 })
    const { answer, wasTold } = await upload(outgoing, 'hello')
    expect([answer.statusCode, wasTold]).toEqual([201, true])
    const stored = await server.inject({ method: 'GET', url: '/api/packages/alice/generic/app/1.0/app.bin' })
    expect(stored.body).toBe('hello')
  })

  test('is refused without sending when it may not upload', async () => {
    const { answer, wasTold } = await upload(put('/app/2.0/app.bin', { 'content-length': 5 }), 'hello')
    expect([answer.statusCode, wasTold]).toEqual([401, false])
    expect(answer.headers.connection).toBe('close')
  })

  test('is refused without sending when there is no such route', async () => {
    const { answer, wasTold } = await upload(put('', { authorization: alice, 'content-length': 5 }), 'hello')
    expect([answer.statusCode, wasTold]).toEqual([404, false])
    expect(answer.headers.connection).toBe('close')
  })
})
