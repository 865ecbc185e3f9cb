import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { RenderError } from '../http/error-handler.ts'
import type { PackageRules } from '../packages/package-rules.ts'
import type { Services } from '../services.ts'
import type { UpstreamAdapter } from '../upstream/adapter.ts'

/** One ecosystem: its URLs, its errors, and how its upstreams speak. Its suite is test/contracts/package-type.ts. */
export interface PackageType extends PackageRules {
  /** `package.type` in the database, `type:` of an upstream file, key of `packages.limits`. */
  readonly name: string
  /** Where its routes live; the routes run in a scope of their own, once per prefix. */
  readonly prefixes: readonly string[]
  readonly routes: FastifyPluginAsyncTypebox
  /** Routes that its clients look for at the origin, whatever the address of their registry. */
  readonly originRoutes?: FastifyPluginAsyncTypebox
  /** What people give their clients to use the packages of an owner. */
  readonly clientAddress: (baseUrl: string, owner: string) => string
  readonly renderError: RenderError
  /**
   * Which owner, by name or alias, and which package, in normal form, the route's parameters mean; `name` is null on
   * routes that name no package, the whole null on those that name no owner. Throws Invalid for a name that cannot be.
   * Guard and handler share the result as `request.target`.
   */
  readonly parseTarget: (request: FastifyRequest) => TargetName | null
  /** Absent: this type cannot be mirrored. */
  readonly upstream?: UpstreamAdapter
  /** Removes, once a day, what the type itself knows to be superfluous, and tells the log what; absent: nothing is. */
  readonly tidy?: (services: Services) => Promise<object>
}

/** See `PackageType.parseTarget`. */
export interface TargetName {
  readonly owner: string
  readonly name: string | null
}
