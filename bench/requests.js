import { request } from 'undici'

/** @typedef {import('./processes.js').ServerProcess} ServerProcess */

/** Who publishes, everywhere. */
export const user = { name: 'bench', password: 'correct horse battery staple 1' }

/**
 * Sends JSON that must make something; resolves to the answer.
 *
 * @param {ServerProcess} server
 * @param {'POST' | 'PUT'} method
 * @param {string} path
 * @param {Record<string, string>} headers
 * @param {object | string} body
 */
export async function send(server, method, path, headers, body) {
  const answer = await request(`${server.origin}${path}`, {
    method,
    headers: { ...headers, 'content-type': 'application/json' },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  })
  const text = await answer.body.text()
  if (answer.statusCode !== 201) throw new Error(`${method} ${path} answered ${answer.statusCode} ${text}`)
  return JSON.parse(text)
}
