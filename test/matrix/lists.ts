import { test } from 'vitest'
import { identities, type RightsWorld, visibilities } from '../support/rights-world.ts'
import { expectApproved } from './ask.ts'

/** Lists that go over all owners, and the kinds of places that they may name. */
const lists: readonly [path: string, ...kinds: ('org' | 'ann' | 'mirror')[]][] = [
  ['/api/v1/orgs?limit=50', 'org'],
  ['/api/v1/users/search?limit=50', 'ann'],
  ['/v2/_catalog?n=1000', 'org', 'ann', 'mirror'],
  ['/api/v1/user/orgs?limit=50', 'org'],
  ['/api/v1/user/teams?limit=50', 'org'],
  ['/api/v1/user/repos?limit=50', 'org', 'ann'],
  ['/api/v1/admin/orgs?limit=50', 'org'],
  ['/api/v1/admin/users?limit=50', 'ann'],
]

const WIDTH = 5

const preface = `# Whom lists name

Made by \`rights.test.ts\`: for each list over all owners, and each kind of owners, which of them it names to whom: \`p\` the
public one, \`l\` the limited one, \`v\` the private one, \`-\` none of them; or the status of a refusal. Tokens are those of
the user of the private place, \`R:\` those of root. The columns are explained in \`rights.md\`.
`

/** No list names what its reader may not know of (security.md S4). */
export function describeLists(world: () => RightsWorld): void {
  test('lists name what their readers may know (security.md S4)', async () => {
    const place = world().places.find(({ name }) => name === 'org-private')!
    const lines: string[] = [
      `${''.padEnd(38)}${identities
        .map((name) => name.padEnd(WIDTH))
        .join('')
        .trimEnd()}`,
    ]
    for (const [url, ...kinds] of lists) {
      const answers: { status: number; body: string }[] = []
      for (const identity of identities) {
        const authorization = world().authorizationOf(identity, place)
        const headers = authorization === undefined ? {} : { authorization }
        const response = await world().opened.server.inject({ method: 'GET', url, headers })
        answers.push({ status: response.statusCode, body: response.body })
      }
      for (const kind of kinds) {
        const cells = answers.map(({ status, body }) => {
          const named = visibilities.filter((visibility) => body.includes(`"${kind}-${visibility}`))
          const letters = named.map((visibility) => (visibility === 'private' ? 'v' : visibility[0])).join('')
          return (status === 200 ? letters || '-' : String(status)).padEnd(WIDTH)
        })
        lines.push(`${`${url.split('?')[0]} ${kind}`.padEnd(38)}${cells.join('').trimEnd()}`)
      }
    }
    await expectApproved(`${preface}\n\`\`\`\n${lines.join('\n')}\n\`\`\`\n`, 'lists.md')
  })
}
