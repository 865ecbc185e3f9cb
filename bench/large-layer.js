// `npm run bench:layer -- [GB]`: docs/performance.md
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, statfs, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { request } from 'undici'
import { cleanUp, findFreePort, makeDirectory, ServerProcess } from './processes.js'
import { user } from './requests.js'

const root = fileURLToPath(new URL('..', import.meta.url))
/** Ms for everything; a server that hangs must not hold anybody up for ever. */
const LIMIT = 30 * 60_000
const SAMPLE_INTERVAL = 100
const CHUNK = 1_000_000
const authorization = `Basic ${Buffer.from(`${user.name}:${user.password}`).toString('base64')}`

const gigabytes = Number(process.argv[2] ?? 5)
const size = Math.round(gigabytes * 1e9)
if (!(size > 0)) {
  process.stderr.write('Usage: npm run bench:layer -- [GB]\n')
  process.exit(2)
}

/** @param {string} reason */
async function giveUp(reason) {
  process.stderr.write(`${reason}\n`)
  await cleanUp()
  process.exit(1)
}
for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => void giveUp(signal))
setTimeout(() => void giveUp(`stopped after ${LIMIT / 60_000} minutes`), LIMIT).unref()

const { bavail, bsize } = await statfs(tmpdir())
if (bavail * bsize < 3 * size + 2e9) await giveUp(`${tmpdir()} has no room for three layers of ${gigabytes} GB`)

try {
  const [hosted, mirrored] = [makeLayer(), makeLayer()]
  const upstream = await startUpstream(mirrored)
  const server = await startEntrepot(`http://127.0.0.1:${upstream.port}`)
  process.stdout.write(`A layer of ${gigabytes} GB; Node ${process.version}, ${cpus().length} cores\n`)
  await measure(server, 'push', () => push(server, hosted))
  await measure(server, 'pull', () => pull(server, `${user.name}/large`, hosted))
  await measure(server, 'pull, mirror that lacks it', () => pull(server, 'hub/library/large', mirrored))
  await measure(server, 'pull, mirror that holds it', () => pull(server, 'hub/library/large', mirrored))
  upstream.server.close()
} finally {
  await cleanUp()
}

/**
 * Bytes that no layer had before and that are nowhere as a whole: each chunk is the same noise with its number.
 *
 * @typedef {{ digest: string, generate: () => Generator<Buffer> }} Layer
 * @returns {Layer}
 */
function makeLayer() {
  const noise = randomBytes(CHUNK)
  function* generate() {
    for (let start = 0; start < size; start += CHUNK) {
      const chunk = Buffer.from(noise.subarray(0, Math.min(CHUNK, size - start)))
      if (chunk.length >= 8) chunk.writeDoubleBE(start)
      yield chunk
    }
  }
  const hash = createHash('sha256')
  for (const chunk of generate()) hash.update(chunk)
  return { digest: `sha256:${hash.digest('hex')}`, generate }
}

/**
 * A registry that has one layer and asks for no tokens.
 *
 * @param {Layer} layer
 */
async function startUpstream({ digest, generate }) {
  const server = createServer((asked, response) => {
    const isThere = decodeURIComponent(asked.url ?? '') === `/v2/library/large/blobs/${digest}`
    if (!isThere) return void response.writeHead(404, { 'content-length': 0 }).end()
    response.writeHead(200, { 'content-length': size, 'content-type': 'application/octet-stream' })
    if (asked.method === 'HEAD') response.end()
    else pipeline(generate, response).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: /** @type {import('node:net').AddressInfo} */ (server.address()).port }
}

/** @param {string} upstream origin */
async function startEntrepot(upstream) {
  const directory = await makeDirectory()
  await mkdir(join(directory, 'upstreams'))
  const file = { type: 'container', owner: 'hub', url: upstream, allowPrivateNetwork: true }
  await writeFile(join(directory, 'upstreams/hub.yaml'), JSON.stringify(file))
  const port = await findFreePort()
  return ServerProcess.start({
    directory,
    port,
    args: [join(root, 'dist/main.js'), 'serve'],
    readyPath: '/readyz',
    environment: {
      ENTREPOT_PORT: String(port),
      ENTREPOT_DATA_DIR: join(directory, 'data'),
      ENTREPOT_UPSTREAMS_DIR: join(directory, 'upstreams'),
      ENTREPOT_ADMIN_USERNAME: user.name,
      ENTREPOT_ADMIN_PASSWORD: user.password,
    },
  })
}

/**
 * Uploads the layer as the Docker daemon does: one PATCH of unknown length.
 *
 * @param {ServerProcess} server
 * @param {Layer} layer
 */
async function push({ origin }, { digest, generate }) {
  const headers = { authorization }
  const opened = await request(`${origin}/v2/${user.name}/large/blobs/uploads/`, { method: 'POST', headers })
  await expectStatus(opened, 202)
  const location = new URL(String(opened.headers['location']), origin)
  const options = { headers, headersTimeout: LIMIT, bodyTimeout: LIMIT }
  await expectStatus(await request(location, { ...options, method: 'PATCH', body: Readable.from(generate()) }), 202)
  location.searchParams.set('digest', digest)
  await expectStatus(await request(location, { ...options, method: 'PUT' }), 201)
}

/**
 * Downloads the layer and compares its digest.
 *
 * @param {ServerProcess} server
 * @param {string} repository
 * @param {Layer} layer
 */
async function pull({ origin }, repository, { digest }) {
  const answer = await request(`${origin}/v2/${repository}/blobs/${digest}`, { headers: { authorization } })
  if (answer.statusCode !== 200) await expectStatus(answer, 200)
  const hash = createHash('sha256')
  for await (const chunk of answer.body) hash.update(chunk)
  const received = `sha256:${hash.digest('hex')}`
  if (received !== digest) throw new Error(`${repository}: received ${received} instead of ${digest}`)
}

/** @param {import('undici').Dispatcher.ResponseData} answer @param {number} status */
async function expectStatus(answer, status) {
  const text = await answer.body.text()
  if (answer.statusCode !== status) throw new Error(`answered ${answer.statusCode} instead of ${status}: ${text}`)
}

/**
 * Prints how fast the work was, and how much more memory the server had meanwhile than before, at the worst.
 *
 * @param {ServerProcess} server
 * @param {string} what
 * @param {() => Promise<void>} work
 */
async function measure(server, what, work) {
  await server.settle()
  const before = await server.residentMegabytes()
  let highest = before
  const sampler = setInterval(async () => {
    highest = Math.max(highest, await server.residentMegabytes())
  }, SAMPLE_INTERVAL)
  const startedAt = performance.now()
  await work().finally(() => clearInterval(sampler))
  const seconds = (performance.now() - startedAt) / 1_000
  const [speed, memory, growth] = [size / 1e6 / seconds, before, highest - before].map((figure) => figure.toFixed(0))
  process.stdout.write(
    `${what.padEnd(28)} ${seconds.toFixed(1).padStart(6)} s ${speed?.padStart(6)} MB/s` +
      `   RSS ${memory} MB before, ${growth} MB more at the worst\n`,
  )
}
