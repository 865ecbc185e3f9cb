import type { Owner } from '../auth/owner.ts'
import { Scopes } from '../auth/scopes.ts'
import type { Clock } from '../clock.ts'
import { NotFound } from '../errors.ts'
import type { IssuedTokens } from './issued-tokens.ts'
import type { People } from './people.ts'
import { hashSecret, type TicketContents, type Tickets } from './tickets.ts'

/** A client that waits for its token. */
export type NpmLogin = TicketContents['npm']

/**
 * `npm login` in a browser (npm.md §7): npm gets two secrets, shows the one to its user, who signs in with it and
 * approves, and asks with the other until he has. The token is made when npm comes for it, so none lies around.
 */
export class NpmLogins {
  readonly #parts: { tickets: Tickets; people: People; tokens: IssuedTokens; clock: Clock }

  constructor(parts: { tickets: Tickets; people: People; tokens: IssuedTokens; clock: Clock }) {
    this.#parts = parts
  }

  /** The secrets of a client at `address` that wants a token for the registry. Throws TooManyRequests. */
  async begin(registry: string, address: string): Promise<{ login: string; done: string }> {
    const { tickets, clock } = this.#parts
    const done = await tickets.open('npmDone', { userId: null }, address)
    const contents = { registry, address, at: clock.now(), done: hashSecret(done) }
    return { login: await tickets.open('npm', contents, address), done }
  }

  /** The client that waits; null: none does any more. */
  async find(login: string): Promise<NpmLogin | null> {
    return this.#parts.tickets.read('npm', login)
  }

  /** Lets the client have a token of the user's, once. NotFound when it does not wait any more. */
  async approve(login: string, user: Owner): Promise<NpmLogin> {
    const { tickets } = this.#parts
    const waiting = await tickets.take('npm', login)
    if (waiting === null || !(await tickets.fill('npmDone', waiting.done, { userId: user.id }))) {
      throw new NotFound('token', 'for npm login')
    }
    return waiting
  }

  /**
   * The secret of a token that reads and writes packages, once somebody has approved; null: nobody has yet. NotFound
   * when the time is over or the token has been fetched, Forbidden when the account was blocked meanwhile.
   */
  async finish(done: string, address: string): Promise<string | null> {
    const { tickets, people, tokens } = this.#parts
    const state = await tickets.read('npmDone', done)
    if (state?.userId === null) return null
    const approved = state === null ? null : await tickets.take('npmDone', done)
    if (approved === null || approved.userId === null) throw new NotFound('token', 'for npm login')
    const user = await people.getOpen(approved.userId)
    const wanted = { name: tokens.drawName('npm'), scopes: Scopes.parse(['write:package']), expiresAt: null }
    return tokens.create(user, wanted, address)
  }
}
