import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { accountRoutes } from './account-routes.ts'
import { discoveryRoutes } from './discovery-routes.ts'
import { packageRoutes } from './package-routes.ts'

/** The npm registry of one owner, below `/api/packages/:owner/npm` (npm.md §2). What is not there answers 404. */
export const routes: FastifyPluginAsyncTypebox = async (app) => {
  await app.register(accountRoutes)
  await app.register(discoveryRoutes)
  await app.register(packageRoutes)
}
