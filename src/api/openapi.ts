import swagger from '@fastify/swagger'
import type { RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { openapiComponents, shareSchemas } from './openapi-components.ts'
import { completeOperation, type Operation, operationId } from './openapi-operations.ts'
import { openapiPages } from './openapi-pages.ts'

const PREFIX = '/api/v1'

/**
 * Describes the routes of the REST API that are registered after it, as OpenAPI 3.1 (`app.swagger()`, made when it is
 * first asked for), and serves that at Gitea's places. Everything comes from the routes: their schemas, whose `title`
 * names what is shared, and what their `config` says of access.
 */
export const openapi = fp(async (app) => {
  const { config, version } = app.services
  const { requireSignIn } = config.auth
  const routes = new Map<string, RouteOptions>()

  await app.register(swagger, {
    stripBasePath: false,
    convertConstToEnum: false,
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Entrepot',
        version,
        description:
          "Gitea's REST API, as far as a server of packages has it, and what is beyond it. Site administrators act as " +
          'another user with the header `Sudo` or the parameter `sudo`.',
      },
      servers: [{ url: `${config.baseUrl}${PREFIX}` }],
      components: openapiComponents,
    },
    transform: ({ schema, url, route }) => {
      if (!url.startsWith(`${PREFIX}/`)) return { schema: { hide: true }, url }
      const path = url.slice(PREFIX.length)
      const id = operationId(String(route.method), path)
      routes.set(id, route)
      return { schema: { ...schema, operationId: id }, url: path }
    },
    transformObject: (input) => {
      const { openapiObject: document } = input as unknown as { openapiObject: Document }
      for (const operation of Object.values(document.paths).flatMap((path) => Object.values(path))) {
        completeOperation(operation, routes.get(operation.operationId)!, requireSignIn)
      }
      shareSchemas(document)
      return document as never
    },
  })
  await app.register(openapiPages)
})

interface Document {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, unknown> }
}
