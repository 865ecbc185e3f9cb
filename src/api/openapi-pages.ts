import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import type { FastifyPluginAsync } from 'fastify'
import { cacheControl } from '../http/cache-control.ts'
import { createErrorHandler } from '../http/error-handler.ts'
import { type RenderedDocument, renderDocument, sendDocument } from '../http/send-document.ts'
import { renderApiError } from './errors.ts'

/** Nothing but files of this server; Swagger UI has icons in its style sheet. */
const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** What of the plugin's files the page needs. Its own routes declare no access, so they are not registered. */
const FILES = {
  'swagger-ui.css': 'text/css; charset=utf-8',
  'index.css': 'text/css; charset=utf-8',
  'swagger-ui-bundle.js': 'text/javascript; charset=utf-8',
} as const

/** The description of the REST API and a page to read it, where Gitea has them; for whoever may see what is public. */
export const openapiPages: FastifyPluginAsync = async (app) => {
  const { baseUrl, auth } = app.services.config
  const base = new URL(baseUrl).pathname.replace(/\/$/, '')
  const isPublic = !auth.requireSignIn
  const config = { access: isPublic ? 'public' : 'signed-in', scope: null, limit: 'apiReads' } as const

  // A browser asks for a name and a password only then.
  app.setErrorHandler(
    createErrorHandler((error, request) => {
      const { headers, ...answer } = renderApiError(error, request)
      const challenge: Record<string, string> =
        answer.status === 401 ? { 'www-authenticate': 'Basic realm="Entrepot"' } : {}
      return { ...answer, headers: { ...headers, ...challenge } }
    }),
  )
  app.addHook('onRequest', async (_request, reply) => {
    reply.header('content-security-policy', POLICY).header('x-content-type-options', 'nosniff')
  })

  const serve = (url: string, contentType: string, load: () => Buffer | Promise<Buffer>) => {
    let rendered: Promise<RenderedDocument> | undefined
    const render = async () => renderDocument(await load(), { contentType, lastModified: null })
    app.get(url, { config }, async (request, reply) => {
      rendered ??= render().catch((error: unknown) => {
        rendered = undefined
        throw error
      })
      return sendDocument(request, reply, await rendered, cacheControl.hosted(isPublic))
    })
  }

  serve('/swagger.v1.json', 'application/json', () => Buffer.from(JSON.stringify(app.swagger())))
  serve('/api/swagger', 'text/html; charset=utf-8', () => Buffer.from(page(base)))
  serve('/api/swagger/start.js', 'text/javascript; charset=utf-8', () => Buffer.from(script(base)))
  const folder = join(dirname(createRequire(import.meta.url).resolve('@fastify/swagger-ui/package.json')), 'static')
  for (const [name, contentType] of Object.entries(FILES)) {
    serve(`/api/swagger/${name}`, contentType, () => readFile(join(folder, name)))
  }
}

const page = (base: string) => `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Entrepot: REST API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${base}/api/swagger/swagger-ui.css">
<link rel="stylesheet" href="${base}/api/swagger/index.css">
</head>
<body>
<div id="swagger-ui"></div>
<noscript>This page needs JavaScript. The document that it shows is <a href="${base}/swagger.v1.json">swagger.v1.json</a>.</noscript>
<script src="${base}/api/swagger/swagger-ui-bundle.js"></script>
<script src="${base}/api/swagger/start.js"></script>
</body>
</html>
`

/** Without the validator, which is a host of others. */
const script = (base: string) => `SwaggerUIBundle(${JSON.stringify({
  url: `${base}/swagger.v1.json`,
  dom_id: '#swagger-ui',
  deepLinking: true,
  docExpansion: 'none',
  validatorUrl: null,
})})
`
