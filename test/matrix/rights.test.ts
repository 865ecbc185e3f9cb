import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Identity, identities, RightsWorld } from '../support/rights-world.ts'
import { ADMITTED, type Route } from '../support/routes.ts'
import { pathAt, type Row, rowsOf } from './addresses.ts'
import { ask, expectApproved, placesOf } from './ask.ts'
import { describeHandlers } from './handlers.ts'
import { describeHiddenOwners } from './hidden-owners.ts'
import { describeLists } from './lists.ts'
import { type Measured, preface, renderTable } from './rights-table.ts'

let world: RightsWorld
let measured: Measured[]

// The rules are the same on every database, and the tests of each of them run on all.
describe.skipIf(process.env['TEST_DATABASE_URL'] !== undefined)('rights', () => {
  beforeAll(async () => {
    world = await RightsWorld.start()
    const rows = world.opened.routes.flatMap(rowsOf)
    // A route that cannot be asked is told at once.
    for (const row of rows) for (const place of placesOf(world, row)) pathAt(row, place)
    measured = []
    for (const row of rows) measured.push(await measure(row))
  }, 300_000)
  afterAll(() => world?.close())

  describe('the table of rights (security.md S1, S6, S10, S11)', () => {
    test('is what was read and approved', async () => {
      await expectApproved(renderTable(measured, preface), 'rights.md')
    })

    test('finds everything that it asks for: somebody gets each route', () => {
      // Nobody writes to a mirror; sign-ins in a browser need a provider, which is not here.
      const empty = /^(POST|PUT|PATCH) \/mirror\/.*\/\*| \/login|\/-\/v1\/done\//
      const open = measured.filter(({ label }) => !empty.test(label))
      const closed = open.filter(({ cells }) => ![...cells.values()].flat().includes('ok'))
      expect(closed.map(({ label }) => label)).toEqual([])
    })

    test('has no row with an error of the server', () => {
      const broken = measured.filter(({ cells }) => [...cells.values()].flat().some((cell) => cell.startsWith('5')))
      expect(broken.map(({ label }) => label)).toEqual([])
    })

    test('HEAD is answered as GET', { timeout: 120_000 }, async () => {
      const some: Identity[] = ['anon', 'rpkg']
      const differing: string[] = []
      const heads = new Set(world.opened.routes.filter(({ method }) => method === 'HEAD').map(({ url }) => url))
      for (const row of world.opened.routes.flatMap(rowsOf)) {
        if (row.route.method !== 'GET' || !heads.has(row.route.url)) continue
        for (const place of placesOf(world, row)) {
          for (const identity of some) {
            const expected = (await ask(world, row, identity, place)).statusCode
            const head = await ask(world, row, identity, place, { method: 'HEAD' })
            if (head.statusCode !== expected || head.body !== '')
              differing.push(`${row.label} ${identity} ${place.name}`)
          }
        }
      }
      expect(differing).toEqual([])
    })
  })

  describe('what is hidden', { timeout: 120_000 }, () => {
    describeHiddenOwners(() => world)
    describeLists(() => world)
  })

  // Last: from here on requests change things.
  describe('what handlers decide', { timeout: 120_000 }, () => describeHandlers(() => world))
})

async function measure(row: Row): Promise<Measured> {
  const cells = new Map<string, string[]>()
  for (const place of placesOf(world, row)) {
    const line: string[] = []
    for (const identity of identities) line.push(cellOf((await ask(world, row, identity, place)).statusCode))
    cells.set(
      row.kinds.length === 0 || place.kind === 'site'
        ? ''
        : `${place.kind}-${place.visibility}${place.isSecret ? '*' : ''}`,
      line,
    )
  }
  return { label: row.label, right: rightOf(row.route), cells }
}

function cellOf(status: number): string {
  return status === ADMITTED || status < 400 ? 'ok' : String(status)
}

function rightOf({ config }: Route): string {
  const scopes = [config.scope ?? []].flat()
  return `${config.access}${scopes.length === 0 ? '' : `, scope ${scopes.join(' and ')}`}`
}
