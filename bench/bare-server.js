// Fastify with nothing else to do: asks ORIGIN once for PATH, then answers it from memory for as long as it lives.
// `node bench/bare-server.js PORT ORIGIN PATH '{ "header": "value" }'`
import Fastify from 'fastify'
import { request } from 'undici'

/** Of the answer, what a client needs to have the same from here. */
const KEPT = ['etag', 'content-type', 'content-encoding', 'cache-control', 'vary', 'last-modified']

const [port, origin, path = '/', headers = '{}'] = process.argv.slice(2)
const answer = await request(`${origin}${path}`, { headers: JSON.parse(headers) })
if (answer.statusCode !== 200) throw new Error(`${path} answered ${answer.statusCode}`)
const body = Buffer.from(await answer.body.arrayBuffer())
const kept = Object.fromEntries(KEPT.flatMap((name) => (answer.headers[name] ? [[name, answer.headers[name]]] : [])))

const app = Fastify()
app.get('/', async () => 'ready')
app.get(path, async (asked, reply) => {
  reply.headers(kept)
  return asked.headers['if-none-match'] === kept['etag'] ? reply.code(304).send() : reply.send(body)
})
await app.listen({ host: '127.0.0.1', port: Number(port) })
