import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'

/** `/v2/` itself, the token endpoint and the catalog. */
export const rootRoutes: FastifyPluginAsyncTypebox = async () => {}
