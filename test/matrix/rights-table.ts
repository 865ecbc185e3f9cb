import { identities, legend } from '../support/rights-world.ts'

/** What every identity got at every place, of one row of the table; places and cells in one order for all. */
export interface Measured {
  readonly label: string
  /** The right that the route declares, with its scopes. */
  readonly right: string
  /** Name of the place → one cell per identity. */
  readonly cells: ReadonlyMap<string, readonly string[]>
}

const WIDTH = 5

/** What readers of the table have to know. */
export const preface = `# Who may do what

What each identity gets on each route, at owners of each visibility; made by \`rights.test.ts\`, which compares it with
the running server, and read by people. A change of this file is a change of rights: read each changed cell against
the rules (access modes of owners, scopes of tokens) before it is accepted.

Under each right that routes declare stand the routes that are answered alike, then the answers: \`ok\` or the status of
the refusal. \`GET\` is really asked, for things that exist, so that 404 means "hidden from this caller", or "not of this
kind of owner". Other methods stop where the handler would begin: \`ok\` means that every guard has let them pass, and
\`handlers.test.ts\` has what handlers refuse after that. \`HEAD\` is not shown: it is tested to be as \`GET\`. Routes of a
package are asked about the same package of three kinds of owners: an organization, a user and a mirror; and about a
private package of an organization and a user, who are marked \`*\`.

Columns:
`

/** The table as people read it: by declared right, rows with the same cells together, places with the same cells too. */
export function renderTable(rows: readonly Measured[], preface: string): string {
  const rights = [...new Set(rows.map(({ right }) => right))].sort()
  const sections = rights.map((right) => {
    const blocks = new Map<string, string[]>()
    for (const row of rows.filter((each) => each.right === right)) {
      const grid = renderGrid(row.cells)
      blocks.set(grid, [...(blocks.get(grid) ?? []), row.label])
    }
    const parts = [...blocks].map(([grid, labels]) => `${joinLabels(labels)}\n\n${grid}`)
    return `## ${right}\n\n${parts.join('\n\n')}`
  })
  const names = Object.entries(legend).map(([name, meaning]) => `- \`${name}\` ${meaning}`)
  return `${preface}\n${names.join('\n')}\n\n${sections.join('\n\n')}\n`
}

/** One line per route: what is asked for behind its wildcard is gathered. */
export function joinLabels(labels: readonly string[]): string {
  const routes = new Map<string, string[]>()
  for (const label of labels) {
    const [method, url, ...what] = label.split(' ')
    const route = `${method} ${url}`
    routes.set(route, [...(routes.get(route) ?? []), ...what])
  }
  return [...routes]
    .map(([route, what]) => `    ${route}${what.length === 0 ? '' : `  (${what.join(', ')})`}`)
    .join('\n')
}

function renderGrid(cells: Measured['cells']): string {
  const lines = new Map<string, string[]>()
  for (const [place, row] of cells) {
    const line = row
      .map((cell) => cell.padEnd(WIDTH))
      .join('')
      .trimEnd()
    lines.set(line, [...(lines.get(line) ?? []), place])
  }
  const names = [...lines.values()].map((places) => joinPlaces(places))
  const width = Math.max(...names.map(({ length }) => length)) + 2
  const head = `${' '.repeat(width)}${identities
    .map((name) => name.padEnd(WIDTH))
    .join('')
    .trimEnd()}`
  const body = [...lines.keys()].map((line, index) => `${names[index]!.padEnd(width)}${line}`)
  return ['```', head, ...body, '```'].join('\n')
}

/** `org-public, user-public` → `org,user public`. */
function joinPlaces(places: readonly string[]): string {
  const kinds = new Map<string, string[]>()
  for (const place of places) {
    const [kind = '', visibility = ''] = place.split('-')
    kinds.set(visibility, [...(kinds.get(visibility) ?? []), kind])
  }
  const joined = new Map<string, string[]>()
  for (const [visibility, names] of kinds) {
    const key = names.join('+')
    joined.set(key, [...(joined.get(key) ?? []), visibility])
  }
  return [...joined].map(([names, each]) => `${names} ${each.join('/')}`.trim()).join(', ')
}
