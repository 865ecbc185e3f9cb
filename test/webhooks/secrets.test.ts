import { pino } from 'pino'
import { expect, test, vi } from 'vitest'
import { publish } from '../support/builders/published-package.ts'
import { FakeUpstream } from '../support/fake-upstream.ts'
import { TestApp } from '../support/test-app.ts'
import { createHook, deliver, lastOf, toLoopback } from './receiver.ts'

test('no secret of a hook is in the log, the database, the metrics or an answer (security.md S19)', async () => {
  const lines: string[] = []
  const server = await TestApp.start({ environment: toLoopback })
  // What pino would write.
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    vi.spyOn(server.services.log, level).mockImplementation((...given: unknown[]) => {
      pino({ level: 'trace' }, { write: (line: string) => lines.push(line) }).info(...(given as [object]))
    })
  }
  const receiver = await FakeUpstream.start()
  // It repeats whatever it is sent.
  receiver.fallback = { status: 500 }
  receiver.everything(({ headers, body }) => ({
    status: 500,
    headers: { 'x-echo': String(headers['authorization']) },
    body: `${JSON.stringify(headers)} ${body.toString()}`,
  }))
  await server.createOrganization('acme')
  const config = { secret: 'canary-secret' }
  const authorization_header = 'Bearer canary-token'
  const id = await createHook(server, '/orgs/acme/hooks', `${receiver.url}/hook`, { authorization_header }, config)
  await publish(server, { owner: 'acme', name: 'tool', creator: 'root' })
  await deliver(server)
  expect(receiver.requests[0]!.headers['authorization']).toBe('Bearer canary-token')
  receiver.everything({ refuse: true })
  server.clock.advance(60_000)
  await deliver(server)
  server.clock.advance(600_000)
  receiver.everything(({ headers }) => ({ status: 404, body: JSON.stringify(headers) }))
  await deliver(server)

  const hook = `/orgs/acme/hooks/${id}`
  const { uuid } = await lastOf(server, hook)
  const full = await server.api('GET', `${hook}/deliveries/${uuid}`)
  expect(full.json()).toMatchObject({ response_status: 404, request: { headers: { Authorization: '******' } } })
  expect(full.json().response.body).toContain('******')
  const { webhook, hookTask } = server.services.models
  const seen = [
    ...lines,
    full.body,
    (await server.api('GET', hook)).body,
    (await server.api('GET', '/orgs/acme/hooks')).body,
    (await server.inject({ method: 'GET', url: '/metrics' })).body,
    JSON.stringify(await webhook.findAll()),
    JSON.stringify(await hookTask.findAll()),
  ]
  expect(seen.filter((text) => text.includes('canary'))).toEqual([])
  await server.close()
  await receiver.close()
})
