import type { FastifyRequest } from 'fastify'
import { Forbidden } from '../errors.ts'

/**
 * Throws Forbidden unless the browser says that a page of this site sends the form (security.md S46): by Origin, which
 * they all send with forms, or by Sec-Fetch-Site.
 */
export async function requireSameOrigin({ method, headers, server }: FastifyRequest): Promise<void> {
  if (method === 'GET' || method === 'HEAD') return
  const { origin } = headers
  const ours = new URL(server.services.config.baseUrl).origin
  const isOurs = origin === undefined ? headers['sec-fetch-site'] === 'same-origin' : origin === ours
  if (!isOurs) throw new Forbidden('this form does not come from a page of this site', 'access')
}
