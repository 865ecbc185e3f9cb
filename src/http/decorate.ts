import fp from 'fastify-plugin'
import type { Owner } from '../auth/accounts.ts'
import type { Doer } from '../auth/authenticator.ts'
import type { Services } from '../services.ts'
import type { TeamTarget } from './organization-access.ts'
import type { RepositoryTarget } from './repository-access.ts'

/** What a package route is about, parsed once; the guard and the handler read the same object (security.md S32). */
export interface Target {
  /** Of a package that is hidden from the caller: somebody of this name who has no packages. */
  readonly owner: Owner
  readonly type: string
  /** The package's name in its normal form; null on routes that name none. */
  readonly name: string | null
  /** The owner of a package that is hidden from the caller; absent: it is not. */
  readonly hiddenOwner?: Owner
}

declare module 'fastify' {
  interface FastifyInstance {
    readonly services: Services
  }
  interface FastifyRequest {
    /** Who asks; set before any guard or handler runs. */
    doer: Doer
    /** Set on package routes only. */
    target: Target | null
    /** Set on routes of a team only. */
    team: TeamTarget | null
    /** Set on routes that change a repository only. */
    repository: RepositoryTarget | null
  }
}

/** Gives every scope the services, and every request its slots. */
export const decorate = fp<{ services: Services }>(async (app, { services }) => {
  app.decorate('services', services)
  app.decorateRequest('doer', null as unknown as Doer)
  app.decorateRequest('target', null)
  app.decorateRequest('team', null)
  app.decorateRequest('repository', null)
})
