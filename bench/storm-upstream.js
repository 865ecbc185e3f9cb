// The upstream of `npm run bench:storm`: an npm registry of packages called `storm-<n>`, with one version each, that
// fails, hangs, cuts and lies by the dice. `node bench/storm-upstream.js PORT`; it ends on SIGTERM, in mid-sentence.
import { createServer } from 'node:http'
import { digestTarball, makeManifest } from './packages.js'
import { makeTarball, VERSION } from './storm-packages.js'

/** What becomes of a hundred requests; of the rest nothing bad. */
const FAULTS = /** @type {const} */ ({ unavailable: 7, error: 4, reset: 4, cut: 3, lie: 2, hang: 5 })

const port = Number(process.argv[2])
/** @type {Map<string, { packument: Buffer, tarball: Buffer }>} */
const packages = new Map()
const counts = { requests: 0, faults: 0 }

createServer((request, response) => {
  const path = decodeURIComponent((request.url ?? '/').split('?', 1)[0] ?? '/')
  if (path === '/-/counts') return response.end(JSON.stringify(counts))
  counts.requests++
  const fault = rollDice()
  if (fault !== null) counts.faults++
  if (fault === 'hang') return
  if (fault === 'reset') return request.socket.resetAndDestroy()
  if (fault === 'unavailable') return response.writeHead(503).end()
  if (fault === 'error') return response.writeHead(500, { 'content-type': 'text/html' }).end('<h1>Sorry</h1>')
  const [, name = '', , file] = path.split('/')
  const known = packages.get(name) ?? makePackage(name)
  if (known === null) return response.writeHead(404).end('{}')
  const { packument, tarball } = known
  let body = file === undefined ? packument : tarball
  const type = file === undefined ? 'application/json' : 'application/octet-stream'
  response.writeHead(200, { 'content-type': type, 'content-length': body.length, etag: `"${name}"` })
  if (fault === 'cut') {
    return response.write(body.subarray(0, Math.floor(body.length * 0.7)), () => request.socket.resetAndDestroy())
  }
  if (fault === 'lie') {
    body = Buffer.from(body)
    body[body.length >> 1] = (body[body.length >> 1] ?? 0) ^ 1
  }
  response.end(body)
}).listen(port, '127.0.0.1')

process.on('SIGTERM', () => process.exit(0))

/** @returns {keyof typeof FAULTS | null} */
function rollDice() {
  let roll = Math.random() * 100
  for (const [fault, share] of Object.entries(FAULTS)) {
    roll -= share
    if (roll < 0) return /** @type {keyof typeof FAULTS} */ (fault)
  }
  return null
}

/** @param {string} name */
function makePackage(name) {
  const tarball = makeTarball(name)
  if (tarball === null) return null
  const dist = { ...digestTarball(tarball), tarball: `http://127.0.0.1:${port}/${name}/-/${name}-${VERSION}.tgz` }
  const time = '2020-01-01T00:00:00.000Z'
  const packument = Buffer.from(
    JSON.stringify({
      _id: name,
      name,
      'dist-tags': { latest: VERSION },
      versions: { [VERSION]: { ...makeManifest(name, VERSION), _id: `${name}@${VERSION}`, dist } },
      time: { created: time, modified: time, [VERSION]: time },
    }),
  )
  packages.set(name, { packument, tarball })
  return { packument, tarball }
}
