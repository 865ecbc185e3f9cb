import { expect } from 'vitest'
import type { FakeUpstream, RecordedRequest } from '../support/fake-upstream.ts'
import type { TestApp } from '../support/test-app.ts'

/** Lets hooks call the receivers of tests. */
export const toLoopback = { ENTREPOT_WEBHOOKS_ALLOWED_HOSTS: '127.0.0.0/8' }

/** A delivery as REST tells of it. */
export interface Delivery {
  uuid: string
  status: string
  cause: string
  attempts: number
  response_status: number
  error: string
  attempted_at: string
  next_attempt_at: string
}

/** Makes an active hook for packages as `authorization`; its id. */
export async function createHook(
  server: TestApp,
  place: string,
  url: string,
  { authorization = server.admin, ...more }: { authorization?: string; [field: string]: unknown } = {},
  config: object = {},
): Promise<number> {
  const hook = { type: 'gitea', config: { url, content_type: 'json', ...config }, events: ['package'], active: true }
  const response = await server.api('POST', place, { ...hook, ...more }, authorization)
  expect(response.statusCode, response.body).toBe(201)
  return (response.json() as { id: number }).id
}

/** Stores what has happened and delivers what is due. */
export async function deliver({ services }: TestApp): Promise<void> {
  await services.webhooks.settle()
  await services.webhooks.deliveries.deliverDue()
}

/** The log of a hook, newest first. */
export async function deliveriesOf(server: TestApp, hook: string): Promise<Delivery[]> {
  const response = await server.api('GET', `${hook}/deliveries?limit=50`)
  expect(response.statusCode, response.body).toBe(200)
  return response.json()
}

/** The newest delivery of a hook. */
export async function lastOf(server: TestApp, hook: string): Promise<Delivery> {
  const [last] = await deliveriesOf(server, hook)
  return last!
}

/** What a receiver heard of: `created acme/tool 1.0.0`. */
export function heardBy(receiver: FakeUpstream, path = '/hook'): string[] {
  return receiver.asked(path).map(({ body }) => {
    const { action, package: of } = JSON.parse(body.toString()) as Payload
    return `${action} ${of.owner.login}/${of.name} ${of.version}`
  })
}

interface Payload {
  action: string
  package: { owner: { login: string }; name: string; version: string }
}

/** The UUID in a request. */
export function uuidOf({ headers }: RecordedRequest): string {
  return String(headers['x-gitea-delivery'])
}
