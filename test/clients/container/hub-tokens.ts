import { randomBytes } from 'node:crypto'

interface Token {
  /** Repositories that it lets read. */
  readonly repositories: ReadonlySet<string>
  readonly expiresAt: number
}

/** Gives and checks the Bearer tokens of a registry: each for the repositories it was asked for, and not for long. */
export class HubTokens {
  /** Seconds that new tokens are good for. */
  lifetime = 300
  /** Password of each user. */
  readonly users = new Map<string, string>()
  /** Repositories that only users may read. */
  readonly privateRepositories = new Set<string>()
  readonly #tokens = new Map<string, Token>()

  /**
   * Answers a token request; `authorization` is its header, if any. Null for wrong credentials; less than was asked for
   * is no error.
   */
  give(query: URLSearchParams, authorization: string | undefined): object | null {
    const user = authorization === undefined ? null : this.#userOf(authorization)
    if (authorization !== undefined && user === null) return null
    const asked = query.getAll('scope').flatMap((scope) => scope.split(' '))
    const repositories = asked.flatMap((scope) => {
      const [, name, actions] = /^repository:(.+):([^:]+)$/.exec(scope) ?? []
      if (name === undefined || !actions?.split(',').includes('pull')) return []
      return this.privateRepositories.has(name) && user === null ? [] : [name]
    })
    const token = randomBytes(24).toString('base64url')
    this.#tokens.set(token, { repositories: new Set(repositories), expiresAt: Date.now() + this.lifetime * 1000 })
    return { token, access_token: token, expires_in: this.lifetime, issued_at: new Date().toISOString() }
  }

  /** Whether this `Authorization` header lets read the repository (null: any good token does). */
  check(authorization: string | undefined, repository: string | null): 'ok' | 'missing' | 'expired' | 'insufficient' {
    const value = /^Bearer (.+)$/i.exec(authorization ?? '')?.[1]
    const token = value === undefined ? undefined : this.#tokens.get(value)
    if (token === undefined) return 'missing'
    if (token.expiresAt <= Date.now()) return 'expired'
    return repository === null || token.repositories.has(repository) ? 'ok' : 'insufficient'
  }

  /** Ends the time of every token given so far. */
  expireAll(): void {
    for (const [value, token] of this.#tokens) this.#tokens.set(value, { ...token, expiresAt: 0 })
  }

  #userOf(authorization: string): string | null {
    const encoded = /^Basic (.+)$/i.exec(authorization)?.[1] ?? ''
    const [name = '', ...password] = Buffer.from(encoded, 'base64').toString().split(':')
    return this.users.get(name) === password.join(':') ? name : null
  }
}
