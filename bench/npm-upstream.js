// An npm registry that holds every package called `up-<word>-v<number of versions>-b<bytes of a tarball>`, and makes it
// up when it is first asked for. `node bench/npm-upstream.js PORT`; `/-/counts` tells how often each path was asked for.
import { createServer } from 'node:http'
import { gzipSync } from 'node:zlib'
import { digestTarball, makeManifest, makeNoise } from './packages.js'

/** @typedef {{ packument: Buffer, packumentGzip: Buffer, content: Buffer }} Package */

const FIRST_PUBLICATION = Date.UTC(2020, 0, 1)
const DAY = 86_400_000

const port = Number(process.argv[2])
/** @type {Map<string, Package>} */
const packages = new Map()
/** @type {Record<string, number>} */
const counts = {}

createServer((request, response) => {
  const path = decodeURIComponent((request.url ?? '/').split('?', 1)[0] ?? '/')
  if (path === '/-/counts') return response.end(JSON.stringify(counts))
  counts[path] = (counts[path] ?? 0) + 1
  const [, name = '', , file] = path.split('/')
  const known = packages.get(name) ?? makePackage(name)
  if (known === null)
    return response.writeHead(404, { 'content-type': 'application/json' }).end('{"error":"not found"}')
  packages.set(name, known)
  if (file !== undefined) {
    const version = file.slice(name.length + 1, -'.tgz'.length)
    return send(makeTarball(known.content, version), { 'content-type': 'application/octet-stream' })
  }
  const json = { 'content-type': 'application/json', vary: 'accept-encoding' }
  return /\bgzip\b/.test(request.headers['accept-encoding'] ?? '')
    ? send(known.packumentGzip, { ...json, 'content-encoding': 'gzip' })
    : send(known.packument, json)

  /** @param {Buffer} body @param {Record<string, string>} headers */
  function send(body, headers) {
    return response.writeHead(200, { ...headers, 'content-length': body.length }).end(body)
  }
}).listen(port, '127.0.0.1')

/**
 * @param {string} name
 * @returns {Package | null}
 */
function makePackage(name) {
  const match = /^up-\w+-v(\d+)-b(\d+)$/.exec(name)
  if (match === null) return null
  const content = makeNoise(name, Number(match[2]))
  const numbers = Array.from({ length: Number(match[1]) }, (_, n) => `1.0.${n}`)
  const versions = numbers.map((version) => {
    const { integrity, shasum } = digestTarball(makeTarball(content, version))
    const dist = { integrity, shasum, tarball: `http://127.0.0.1:${port}/${name}/-/${name}-${version}.tgz` }
    return [version, { ...makeManifest(name, version), _id: `${name}@${version}`, dist }]
  })
  const dates = numbers.map((version, n) => [version, new Date(FIRST_PUBLICATION + n * DAY).toISOString()])
  const packument = Buffer.from(
    JSON.stringify({
      _id: name,
      name,
      'dist-tags': { latest: numbers.at(-1) },
      versions: Object.fromEntries(versions),
      time: { created: dates[0]?.[1], modified: dates.at(-1)?.[1], ...Object.fromEntries(dates) },
      readme: `# ${name}\n${'How to use it, at the length that such texts have. '.repeat(80)}`,
    }),
  )
  return { packument, packumentGzip: gzipSync(packument), content }
}

/**
 * Each version has bytes of its own: packuments with one digest throughout would compress too well.
 *
 * @param {Buffer} content
 * @param {string} version
 */
function makeTarball(content, version) {
  return Buffer.concat([content, Buffer.from(version)])
}
