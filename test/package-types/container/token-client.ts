import type { LightMyRequestResponse } from 'fastify'
import { expect } from 'vitest'
import type { TestApp } from '../../support/test-app.ts'

/** What a challenge says, by the name of its parameters. */
export interface Challenge {
  readonly scheme: string
  readonly parameters: Readonly<Record<string, string>>
}

/** The token endpoint's answer. */
export interface TokenJson {
  readonly token: string
  readonly access_token: string
  readonly expires_in: number
  readonly issued_at: string
  readonly refresh_token?: string
  readonly scope?: string
}

/** Reads the one WWW-Authenticate line as clients do; fails unless all parameters are quoted. */
export function readChallenge(response: LightMyRequestResponse): Challenge {
  const header = response.headers['www-authenticate']
  if (typeof header !== 'string') throw new Error(`no challenge, or several: ${JSON.stringify(header)}`)
  const [scheme, rest] = [header.slice(0, header.indexOf(' ')), header.slice(header.indexOf(' ') + 1)]
  const parameters = [...rest.matchAll(/(\w+)="([^"]*)"(?:,|$)/gy)].map(([, name, value]) => [name, value])
  expect([...rest.matchAll(/(\w+)="([^"]*)"(?:,|$)/gy)].map(([text]) => text).join('')).toBe(rest)
  return { scheme, parameters: Object.fromEntries(parameters) }
}

/** The error of an answer in the form of the OCI distribution-spec. */
export function readError(response: LightMyRequestResponse): { status: number; code: string; message: string } {
  const { errors } = response.json() as { errors: { code: string; message: string }[] }
  expect(errors).toHaveLength(1)
  expect(response.headers['content-type']).toMatch(/^application\/json/)
  expect(response.headers['docker-distribution-api-version']).toBe('registry/2.0')
  return { status: response.statusCode, ...errors[0]! }
}

/** One request, with credentials or without. */
export function request(
  app: TestApp,
  method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE',
  url: string,
  authorization: string | null = null,
): Promise<LightMyRequestResponse> {
  return app.inject({ method, url, headers: authorization === null ? {} : { authorization } })
}

/** Asks for a token as docker does. */
export function askToken(
  app: TestApp,
  authorization: string | null,
  scopes: string | readonly string[] = [],
  more: Record<string, string> = {},
): Promise<LightMyRequestResponse> {
  const query = new URLSearchParams({ service: '127.0.0.1:8080', ...more })
  for (const scope of [scopes].flat()) query.append('scope', scope)
  return request(app, 'GET', `/v2/token?${query}`, authorization)
}

/** The answer of `askToken`, which must be 200. */
export async function getToken(...parameters: Parameters<typeof askToken>): Promise<TokenJson> {
  const response = await askToken(...parameters)
  expect(response.statusCode, response.body).toBe(200)
  expect(response.headers['cache-control']).toBe('no-store')
  return response.json() as TokenJson
}

/** The Authorization header of a fresh token for these scopes. */
export async function bearer(...parameters: Parameters<typeof askToken>): Promise<string> {
  return `Bearer ${(await getToken(...parameters)).token}`
}

/** Asks for a token as containerd does. */
export function postToken(
  app: TestApp,
  form: Record<string, string>,
  authorization: string | null = null,
): Promise<LightMyRequestResponse> {
  return app.inject({
    method: 'POST',
    url: '/v2/token',
    headers: {
      'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
      ...(authorization === null ? {} : { authorization }),
    },
    payload: new URLSearchParams({ service: '127.0.0.1:8080', client_id: 'test', ...form }).toString(),
  })
}

/** The claims of a token, unchecked; with its header. */
export function readClaims(token: string): { header: Record<string, unknown>; claims: Record<string, unknown> } {
  const [header, claims] = token.split('.').map((part) => Buffer.from(part, 'base64url').toString('utf8'))
  return { header: JSON.parse(header!), claims: JSON.parse(claims!) }
}

/** `<repository>:<actions>` for everything that a token grants. */
export function readGrants(token: string): string[] {
  const access = readClaims(token).claims['access'] as { name: string; actions: string[] }[]
  return access.map(({ name, actions }) => `${name}:${actions.join(',')}`)
}
