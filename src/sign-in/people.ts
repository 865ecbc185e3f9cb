import { type AuditActor, theServer } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import type { Accounts } from '../auth/accounts.ts'
import { isBlocked, type Owner } from '../auth/owner.ts'
import { Forbidden, Unprocessable } from '../errors.ts'
import type { GroupRights } from './group-rights.ts'
import type { Identities } from './identities.ts'
import { type Person, toAccountName } from './person.ts'
import type { ProviderSettings } from './provider-settings.ts'

/** What it takes to know people. */
export interface PeopleParts {
  readonly accounts: Accounts
  readonly identities: Identities
  readonly rights: GroupRights
  readonly audit: Audit
}

/** Whose account it is that somebody signs in to. */
export class People {
  readonly #parts: PeopleParts

  constructor(parts: PeopleParts) {
    this.#parts = parts
  }

  /**
   * The account of somebody whom the provider vouches for, with the rights that his groups give; made if there is none
   * and the provider's settings want it. Forbidden when he may not sign in; then too he loses what his groups do not
   * give any more.
   */
  async enter(settings: ProviderSettings, person: Person, address: string): Promise<Owner> {
    const { audit, identities } = this.#parts
    const { name: provider } = settings
    const { subject } = person
    const known = await this.#findUser(provider, subject)
    try {
      const user = await this.#admit(settings, person, known, address)
      await identities.touch(provider, subject)
      audit.record(actorOf(user, address), 'signin.succeeded', { owner: user }, { provider, subject })
      return user
    } catch (error) {
      if (error instanceof Forbidden) {
        const details = { provider, subject, reason: error.message }
        audit.record({ ...theServer, address }, 'signin.failed', { owner: known }, details)
      }
      throw error
    }
  }

  /** The account of that id, if it may act now; Forbidden if not. */
  async getOpen(userId: number): Promise<Owner> {
    const user = await this.#parts.accounts.findById(userId)
    if (user === null) throw new Forbidden('this account does not exist any more', 'user')
    requireOpen(user)
    return user
  }

  async #admit(settings: ProviderSettings, person: Person, known: Owner | null, address: string): Promise<Owner> {
    const { rights } = this.#parts
    const { requiredGroups, title } = settings
    if (known !== null) {
      await rights.apply(settings, known, person.groups, actorOf(known, address))
      requireOpen(known)
    }
    if (requiredGroups.length > 0 && !requiredGroups.some((group) => person.groups.has(group))) {
      throw new Forbidden(`at ${title} you are in none of the groups that may sign in here`, 'user')
    }
    const user = known ?? (await this.#create(settings, person, address))
    if (known === null) await rights.apply(settings, user, person.groups, actorOf(user, address))
    return this.getOpen(user.id)
  }

  async #create(settings: ProviderSettings, person: Person, address: string): Promise<Owner> {
    const { accounts, identities, audit } = this.#parts
    const { name: provider, createAccounts, title } = settings
    const { subject, email, fullName } = person
    const username = toAccountName(person.name)
    const hint = `Ask an administrator to link yours to ${provider} ${subject}.`
    if (!createAccounts) throw new Forbidden(`nobody here is known as you at ${title}. ${hint}`, 'user')
    try {
      const user = await accounts.createExternalUser({ username, email, fullName }, async (row, transaction) => {
        await identities.add(row, provider, subject, transaction)
      })
      audit.record(actorOf(user, address), 'user.created', { owner: user }, { id: user.id, provider, subject })
      return user
    } catch (error) {
      if (!(error instanceof Unprocessable)) throw error
      // Somebody who signs in twice at once.
      const other = await this.#findUser(provider, subject)
      if (other !== null) return other
      throw new Forbidden(`no account can be made with the name "${username}": ${error.message}. ${hint}`, 'user')
    }
  }

  async #findUser(provider: string, subject: string): Promise<Owner | null> {
    const identity = await this.#parts.identities.find(provider, subject)
    return identity === null ? null : this.#parts.accounts.findById(identity.userId)
  }
}

function requireOpen(user: Owner): void {
  if (isBlocked(user)) throw new Forbidden('this account may not sign in', 'user')
  if (user.mustChangePassword) {
    throw new Forbidden('this account must change its password first; ask an administrator', 'user')
  }
}

function actorOf(user: Owner, address: string): AuditActor {
  return { ...theServer, user: { id: user.id, name: user.name }, address }
}
