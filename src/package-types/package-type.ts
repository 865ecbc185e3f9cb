import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { RenderError } from '../http/error-handler.ts'
import type { UpstreamAdapter } from '../upstream/adapter.ts'

/** One ecosystem: its URLs, its errors, and how its upstreams speak. Its suite is test/contracts/package-type.ts. */
export interface PackageType {
  /** `package.type` in the database, `type:` of an upstream file, key of `packages.limits`. */
  readonly name: string
  /** Where its routes live; the routes run in a scope of their own, once per prefix. `:owner` is resolved before them. */
  readonly prefixes: readonly string[]
  readonly routes: FastifyPluginAsyncTypebox
  readonly renderError: RenderError
  /**
   * The package name that the route's parameters mean, in normal form; null on routes that name no package. Throws
   * Invalid for a name that cannot be. Its result is what guard and handler share as `request.target.name`.
   */
  readonly parseTarget: (params: Record<string, string | undefined>) => string | null
  /** Absent: this type cannot be mirrored. */
  readonly upstream?: UpstreamAdapter
}
