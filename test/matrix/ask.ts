import type { LightMyRequestResponse } from 'fastify'
import { expect } from 'vitest'
import type { Identity, Place, RightsWorld } from '../support/rights-world.ts'
import { namesPackage, pathAt, type Row } from './addresses.ts'

/** One request about a place in somebody's name; nothing is changed while the world stops changes. */
export function ask(
  world: RightsWorld,
  row: Row,
  identity: Identity,
  place: Place,
  { method = row.route.method, payload }: { method?: string; payload?: object } = {},
): Promise<LightMyRequestResponse> {
  const credentials = world.authorizationOf(identity, place)
  // These take a token only where a password would be.
  const authorization = row.label.includes('/users/:username/tokens') ? asBasic(credentials) : credentials
  return world.opened.server.inject({
    method: method as 'GET',
    url: pathAt(row, place),
    headers: authorization === undefined ? {} : { authorization },
    ...(payload === undefined ? {} : { payload }),
  })
}

/** A token as the user name of Basic credentials; others as they are. */
export function asBasic(authorization: string | undefined): string | undefined {
  return authorization?.replace(/^Bearer (.*)$/, (_all, token: string) => `Basic ${btoa(`${token}:`)}`)
}

/** Where a row is asked for. Routes that are about nobody in particular are asked with the values of one user. */
export function placesOf(world: RightsWorld, row: Row): Place[] {
  const places = world.places.filter(({ isSecret }) => !isSecret || namesPackage(row))
  if (row.kinds.length > 0) return places.filter(({ kind }) => row.kinds.includes(kind))
  return places.filter(({ name, isSecret }) => name === 'ann-public' && !isSecret)
}

/** Compares with a file that people have read and approved. */
export async function expectApproved(text: string, file: string): Promise<void> {
  await expect(text).toMatchFileSnapshot(file)
}
