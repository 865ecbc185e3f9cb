import type { LightMyRequestResponse } from 'fastify'
import { expect, test } from 'vitest'
import type { Identity, Place, RightsWorld } from '../support/rights-world.ts'
import { namesPackage, rowsOf } from './addresses.ts'
import { ask, expectApproved, placesOf } from './ask.ts'
import { joinLabels } from './rights-table.ts'

/** Who may not know that a place exists: everybody who is asked for here has nothing to do with it. */
const strangers: readonly { identity: Identity; hidden: (place: Place) => boolean }[] = [
  { identity: 'anon', hidden: ({ visibility }) => visibility !== 'public' },
  { identity: 'bob', hidden: ({ visibility }) => visibility === 'private' },
  { identity: 'rex', hidden: ({ visibility }) => visibility !== 'public' },
  { identity: 'writ', hidden: ({ kind, visibility }) => visibility === 'private' && kind !== 'org' },
]

/** As long as the name of the private packages; nothing else that is sent contains either. */
const ABSENT = 'kez'

const preface = `# What tells hidden owners from owners that do not exist

Made by \`rights.test.ts\`: each route is asked about an owner whom the caller may not know of and about one that does not
exist, and the answers are compared, status, headers and body, byte for byte. What differs stands here: who asks, the
answer for a hidden owner, the answer for none. Gitea answers 404 for unknown owners before it looks at rights, and 401
or 403 for closed ones, and so do its routes here; the container registry and the rest of the REST API tell nothing.
`

/** What a caller without rights can find out about owners that are hidden from him (security.md S4). */
export function describeHiddenOwners(world: () => RightsWorld): void {
  test('hidden owners are answered like those that do not exist, but for what is listed (security.md S4)', async () => {
    const told = new Map<string, string[]>()
    for (const row of world().opened.routes.flatMap(rowsOf)) {
      if (row.kinds.length === 0 || row.kinds.includes('site')) continue
      for (const place of placesOf(world(), row)) {
        if (place.isSecret) continue
        const ghost = ghostOf(place)
        for (const { identity, hidden } of strangers) {
          if (!hidden(place)) continue
          const [real, none] = [await ask(world(), row, identity, place), await askAsIf(identity, place, ghost)]
          if (readable(real, place.name) === readable(none, ghost.name)) continue
          const key = `${identity.padEnd(5)}${place.kind.padEnd(7)}${place.visibility.padEnd(8)} ${real.statusCode} ${none.statusCode}`
          told.set(key, [...(told.get(key) ?? []), row.label])
        }
        function askAsIf(identity: Identity, known: Place, absent: Place) {
          return ask(withCredentials(world(), known), row, identity, absent)
        }
      }
    }
    await expectApproved(render(told), 'hidden-owners.md')
  })

  test('private packages are answered like those that do not exist (security.md S1, S4)', async () => {
    const told: string[] = []
    // Those who read what else the owner has.
    const readers: Record<string, Identity[]> = {
      'org-public': ['anon', 'bob', 'rex', 'none'],
      'user-public': ['anon', 'bob', 'rex', 'writ'],
      'org-private': ['none'],
    }
    for (const row of world().opened.routes.flatMap(rowsOf).filter(namesPackage)) {
      for (const place of placesOf(world(), row).filter(({ isSecret }) => isSecret)) {
        const absent = { ...place, package: ABSENT, values: { ...place.values, name: ABSENT } }
        for (const identity of readers[`${place.kind}-${place.visibility}`] ?? []) {
          const credentials = withCredentials(world(), place)
          const [real, none] = [await ask(world(), row, identity, place), await ask(credentials, row, identity, absent)]
          const [shown, expected] = [readable(real, place.package), readable(none, ABSENT)]
          if (shown !== expected)
            told.push(`${row.label} ${identity} ${place.name} ${real.statusCode} ${none.statusCode}`)
        }
      }
    }
    expect(told).toEqual([])
  })

  test('an owner whom everybody may know is not taken for one that does not exist', async () => {
    const row = world()
      .opened.routes.flatMap(rowsOf)
      .find(({ label }) => label === 'GET /api/v1/orgs/:org')!
    const place = world().places.find(({ name }) => name === 'org-public')!
    const [real, none] = [await ask(world(), row, 'bob', place), await ask(world(), row, 'bob', ghostOf(place))]
    expect(readable(real, place.name)).not.toBe(readable(none, ghostOf(place).name))
  })
}

/** The same callers, whatever the place is called. */
function withCredentials(world: RightsWorld, known: Place): RightsWorld {
  return Object.assign(Object.create(world) as RightsWorld, {
    opened: world.opened,
    authorizationOf: (identity: Identity) => world.authorizationOf(identity, known),
  })
}

/** One of the same kind, with a name of the same length, that nobody has made. */
function ghostOf(place: Place): Place {
  const name = `${place.name.slice(0, -1)}x`
  const renamed = Object.entries(place.values).map(([key, value]) => [key, value === place.name ? name : value])
  const values: Record<string, string> = Object.fromEntries(renamed)
  return { ...place, name, values: 'team' in values ? { ...values, team: '999999' } : values }
}

/** All that the client sees, with one name for whatever was asked for. */
function readable({ statusCode, headers, rawPayload }: LightMyRequestResponse, name: string): string {
  const { date: _date, ...rest } = headers
  return `${statusCode} ${JSON.stringify(rest)} ${rawPayload.toString('latin1')}`.replaceAll(name, 'NAME')
}

function render(told: ReadonlyMap<string, readonly string[]>): string {
  const blocks = new Map<string, string[]>()
  for (const [key, labels] of told) {
    const list = joinLabels(labels)
    blocks.set(list, [...(blocks.get(list) ?? []), key])
  }
  const parts = [...blocks].map(([list, keys]) => `\`\`\`\n${keys.join('\n')}\n\`\`\`\n\n${list}`)
  return `${preface}\n${parts.join('\n\n')}\n`
}
