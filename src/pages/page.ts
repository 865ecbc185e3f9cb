import { createHash } from 'node:crypto'
import type { FastifyReply } from 'fastify'
import { cacheControl } from '../http/cache-control.ts'
import { Html, html } from './html.ts'

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem; color: #222 }
h1 { font-size: 1.5rem }
a.button, button { display: inline-block; padding: .5rem 1rem; border: 1px solid #246; border-radius: 4px; background: #246;
  color: #fff; font: inherit; text-decoration: none; cursor: pointer }
label { display: block; margin: 1rem 0 }
input, select { display: block; width: 100%; box-sizing: border-box; padding: .4rem; font: inherit }
pre { padding: .75rem; background: #eee; overflow-x: auto }
.error { color: #a00 }
`

const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ')

/**
 * Headers of every page: nothing runs, nothing is loaded, nobody frames it, nothing keeps it. A Referer goes to this
 * site alone; without any, browsers would not say where a form comes from either.
 */
export const pageHeaders = {
  'content-security-policy': POLICY,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cache-control': cacheControl.noStore,
} as const

/** Of every page. */
export const pageType = 'text/html; charset=utf-8'

/** A whole page. */
export function renderPage(title: string, body: Html): string {
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title} · Entrepot</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
<h1>${title}</h1>
${body}
</body>
</html>
`.text
}

/** Answers with a page. */
export function sendPage(reply: FastifyReply, title: string, body: Html): FastifyReply {
  return reply.headers(pageHeaders).type(pageType).send(renderPage(title, body))
}
