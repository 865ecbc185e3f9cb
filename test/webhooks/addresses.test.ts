import { lookup } from 'node:dns'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { FakeUpstream } from '../support/fake-upstream.ts'
import { TestApp } from '../support/test-app.ts'
import { createHook, deliver, deliveriesOf } from './receiver.ts'

vi.mock('node:dns', async (original) => {
  const dns = await original<typeof import('node:dns')>()
  return { ...dns, lookup: vi.fn(dns.lookup) }
})

type Found = (error: null, addresses: { address: string; family: number }[]) => void
/** What names resolve to, in turn; the last stays. */
const resolveTo = (...answers: string[][]) => {
  let count = 0
  vi.mocked(lookup).mockImplementation(((_host: string, _options: object, found: Found) => {
    const addresses = answers[Math.min(count, answers.length - 1)]!
    count += 1
    found(
      null,
      addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
    )
  }) as never)
  return () => count
}

describe('a hook calls no address that is closed (security.md S40)', () => {
  let server: TestApp
  let open: TestApp
  let receiver: FakeUpstream
  let port: string

  beforeAll(async () => {
    receiver = await FakeUpstream.start()
    receiver.fallback = {}
    port = new URL(receiver.url).port
    server = await TestApp.start()
    open = await TestApp.start({
      environment: { ENTREPOT_WEBHOOKS_ALLOWED_HOSTS: '*.internal.example, 0.0.0.0/0, ::/0' },
    })
  })
  afterEach(() => {
    vi.mocked(lookup).mockReset()
    receiver.forget()
  })
  afterAll(async () => {
    await server.close()
    await open.close()
    await receiver.close()
  })
  const outcome = async (of: TestApp, host: string) => {
    const id = await createHook(of, '/user/hooks', `http://${host}:${port}/hook`)
    await of.api('POST', `/user/hooks/${id}/tests`)
    await deliver(of)
    const [delivery] = await deliveriesOf(of, `/user/hooks/${id}`)
    await of.api('DELETE', `/user/hooks/${id}`)
    return delivery!
  }

  test.each([
    '127.0.0.1',
    '10.0.0.1',
    '192.168.0.1',
    '169.254.1.1',
    '0.0.0.0',
    '::1',
    'fd00::1',
    'fe80::1',
    '::ffff:127.0.0.1',
    '::127.0.0.1',
    '64:ff9b::7f00:1',
    '64:ff9b:1::7f00:1',
    '2002:7f00:1::',
    '169.254.169.254',
  ])('behind a name: %s', async (address) => {
    resolveTo([address])
    const error = expect.stringContaining('which is not allowed')
    expect(await outcome(server, 'hook.example.org')).toMatchObject({ status: 'failed', attempts: 1, error })
    expect(receiver.requests).toEqual([])
  })

  test.each(['127.0.0.1', '2130706433', '0x7f.1', '0177.0.0.1', '0', '[::1]', '[::ffff:127.0.0.1]', '[2002:7f00:1::]'])(
    'as it is written: %s',
    async (host) => {
      const hook = { type: 'gitea', config: { url: `http://${host}:${port}/`, content_type: 'json' } }
      expect((await server.api('POST', '/user/hooks', hook)).statusCode).toBe(422)
      // What came into the database otherwise is not called either.
      const id = await createHook(server, '/user/hooks', 'http://example.org/')
      await server.services.models.webhook.update({ url: hook.config.url }, { where: { id } })
      await server.api('POST', `/user/hooks/${id}/tests`)
      await deliver(server)
      expect(await deliveriesOf(server, `/user/hooks/${id}`)).toMatchObject([{ status: 'failed' }])
      expect(receiver.requests).toEqual([])
      await server.api('DELETE', `/user/hooks/${id}`)
    },
  )

  test('also when one of many answers is open, and when the next would be', async () => {
    resolveTo(['203.0.113.1', '127.0.0.1'])
    expect(await outcome(server, 'many.example.org')).toMatchObject({ status: 'failed' })
    const count = resolveTo(['127.0.0.1'], ['203.0.113.1'])
    expect(await outcome(server, 'alternating.example.org')).toMatchObject({ status: 'failed' })
    // The address that was judged is the one that is used: nobody asks twice.
    expect(count()).toBe(1)
  })

  test('but those that the configuration names, of which a cloud’s metadata is never one', async () => {
    resolveTo(['127.0.0.1'])
    expect(await outcome(open, 'ci.internal.example')).toMatchObject({ status: 'delivered' })
    const metadata = ['169.254.169.254', '::ffff:169.254.169.254', 'fd00:ec2::254', '168.63.129.16']
    for (const [index, address] of metadata.entries()) {
      resolveTo([address])
      // Each a host of its own: an open connection goes on to the address that was judged.
      expect(await outcome(open, `cloud-${index}.internal.example`)).toMatchObject({ status: 'failed', attempts: 1 })
    }
  })
})
