import type { LightMyRequestResponse } from 'fastify'
import type { TestApp } from '../support/test-app.ts'

/** What a new publisher says besides its issuer; every job called `job` fits. */
export interface PublisherFields {
  readonly name?: string
  readonly claims?: Record<string, string | string[]>
  readonly packages?: readonly { type: string; name: string }[] | null
  readonly lifetime?: number
}

/** Makes a publisher of `/orgs/acme` or `/user`; returns its id. */
export async function trust(
  server: TestApp,
  place: string,
  issuer: string,
  fields: PublisherFields = {},
  authorization = server.admin,
): Promise<number> {
  const name = `publisher-${Math.random().toString(36).slice(2)}`
  const payload = { name, issuer, claims: { sub: 'job' }, ...fields }
  const response = await server.api('POST', `${place}/trusted_publishers`, payload, authorization)
  if (response.statusCode !== 201) throw new Error(response.body)
  return (response.json() as { id: number }).id
}

/** Exchanges an id-token. */
export function exchange(server: TestApp, idToken: string, owner?: string): Promise<LightMyRequestResponse> {
  const payload = { id_token: idToken, ...(owner === undefined ? {} : { owner }) }
  return server.api('POST', '/trusted_publishing/token', payload, null)
}

/** The secret that a job gets. */
export async function secretOf(server: TestApp, idToken: string, owner?: string): Promise<string> {
  const response = await exchange(server, idToken, owner)
  if (response.statusCode !== 201) throw new Error(response.body)
  return (response.json() as { token: string }).token
}

/** Uploads a generic package; returns the status. */
export async function upload(server: TestApp, authorization: string, owner: string, name: string): Promise<number> {
  const url = `/api/packages/${owner}/generic/${name}/${Math.random().toString(36).slice(2)}/file.txt`
  const response = await server.inject({ method: 'PUT', url, headers: { authorization }, payload: 'content' })
  return response.statusCode
}
