/** What a registry token may let its bearer do with a repository (container.md §10). */
export type Action = 'pull' | 'push' | 'delete'

const ACTIONS: readonly Action[] = ['pull', 'push', 'delete']
/** Names longer than these exist nowhere. */
const MAX_NAME = 255
/** A token is a header of every request, and servers before us take 8 KiB of it. */
const MAX_GRANTS = 20

/** Actions on one repository, `name` being what the client calls it or, in a token, `<owner>/<package>`. */
export interface Grant {
  readonly name: string
  readonly actions: readonly Action[]
}

/** What a token was asked for. */
export interface AskedScopes {
  /** One for each repository, at most 20. */
  readonly repositories: readonly Grant[]
  /** Whether the list of all repositories is asked for too: `registry:catalog:*`. */
  readonly catalog: boolean
}

/** The repositories that the bearer of a registry token may use; immutable. What he may do there himself still counts. */
export class Grants {
  /** Names are `<lower-case owner>/<package>`. */
  readonly repositories: readonly Grant[]
  readonly catalog: boolean
  readonly #actions: ReadonlyMap<string, readonly Action[]>

  constructor({ repositories, catalog }: AskedScopes) {
    this.repositories = repositories
    this.catalog = catalog
    this.#actions = new Map(repositories.map(({ name, actions }) => [name, actions]))
  }

  allows(repository: string, action: Action): boolean {
    return this.#actions.get(repository)?.includes(action) === true
  }
}

/**
 * Reads scopes as clients ask for them, `repository:<name>:<action>,…`, several in one text divided by spaces. What
 * cannot be read is left out, as the token specification wants; `*` stands for all actions.
 */
export function parseScopes(texts: readonly string[]): AskedScopes {
  const repositories = new Map<string, Set<Action>>()
  let catalog = false
  for (const text of texts.flatMap((several) => several.split(' '))) {
    // The name may have a colon of its own, before a port.
    const [first, last] = [text.indexOf(':'), text.lastIndexOf(':')]
    if (first === last) continue
    const [type, name, actions] = [text.slice(0, first), text.slice(first + 1, last), text.slice(last + 1).split(',')]
    if (text === 'registry:catalog:*') catalog = true
    const known = ACTIONS.filter((action) => actions.includes(action) || actions.includes('*'))
    if (!/^repository(\([^)]*\))?$/.test(type) || known.length === 0 || name === '' || name.length > MAX_NAME) continue
    const held = repositories.get(name) ?? new Set()
    for (const action of known) held.add(action)
    if (repositories.size < MAX_GRANTS) repositories.set(name, held)
  }
  return { repositories: [...repositories].map(([name, held]) => ({ name, actions: [...held] })), catalog }
}

/** The reverse of `parseScopes`. */
export function formatScopes({ repositories, catalog }: AskedScopes): string {
  const scopes = repositories.map(({ name, actions }) => `repository:${name}:${actions.join(',')}`)
  return [...scopes, ...(catalog ? ['registry:catalog:*'] : [])].join(' ')
}
