import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Agent, request } from 'undici'
import { makeTarball, nameOf, VERSION } from './storm-packages.js'

/** Connections of one client; npm opens 15, which 500 of them on one machine cannot. */
const CONNECTIONS = 3
const PATIENCE = 120_000
const LONGEST_WAIT = 10_000

/**
 * What clients met. `wrong` are whole answers with bytes that are not those published: there must be none.
 *
 * @typedef {object} Tally
 * @property {number} requests
 * @property {number} wrong
 * @property {Record<string, number>} answers by status, `broken` for those that did not come whole
 * @property {number} finished clients that got everything
 * @property {number} starved clients that gave up on something
 */

/** @returns {Tally} */
export function newTally() {
  return { requests: 0, wrong: 0, answers: {}, finished: 0, starved: 0 }
}

/**
 * Has clients ask for every package in an order of their own, its packument and its tarball, and try again what fails,
 * as npm does; resolves when all are done.
 *
 * @param {string} registry URL of the mirror, without a final slash
 * @param {{ clients: number, packages: number, attempts: number, tally: Tally }} options
 */
export async function runClients(registry, { clients, packages, attempts, tally }) {
  const agent = new Agent({ connections: clients * CONNECTIONS, headersTimeout: PATIENCE, bodyTimeout: PATIENCE })
  const names = Array.from({ length: packages }, (_, n) => nameOf(n))
  const digests = new Map(names.map((name) => [name, digest(makeTarball(name) ?? Buffer.alloc(0))]))
  try {
    await Promise.all(Array.from({ length: clients }, runClient))
  } finally {
    await agent.destroy()
  }

  async function runClient() {
    const wanted = shuffle(names)
    let isWhole = true
    const workers = Array.from({ length: CONNECTIONS }, async () => {
      for (let name = wanted.pop(); name !== undefined; name = wanted.pop()) {
        const integrity = digests.get(name) ?? ''
        const isThere =
          (await insist(`${registry}/${name}`, (body) => promises(body, integrity))) &&
          (await insist(`${registry}/${name}/-/${name}-${VERSION}.tgz`, (body) => integrity === digest(body)))
        if (!isThere) isWhole = false
      }
    })
    await Promise.all(workers)
    if (isWhole) tally.finished++
    else tally.starved++
  }

  /**
   * @param {string} url
   * @param {(body: Buffer) => boolean} isRight
   */
  async function insist(url, isRight) {
    for (let attempt = 0; attempt < attempts; attempt++) {
      if (attempt > 0) await sleep(Math.random() * Math.min(LONGEST_WAIT, 500 * 2 ** attempt))
      const body = await ask(url)
      if (body === null) continue
      if (isRight(body)) return true
      tally.wrong++
    }
    return false
  }

  /** @param {string} url */
  async function ask(url) {
    tally.requests++
    let outcome = 'broken'
    try {
      const headers = { accept: 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*' }
      const answer = await request(url, { dispatcher: agent, headers })
      const body = Buffer.from(await answer.body.arrayBuffer())
      outcome = String(answer.statusCode)
      return answer.statusCode === 200 ? body : null
    } catch {
      return null
    } finally {
      tally.answers[outcome] = (tally.answers[outcome] ?? 0) + 1
    }
  }
}

/** @param {Buffer} packument @param {string} integrity */
function promises(packument, integrity) {
  try {
    return JSON.parse(packument.toString()).versions[VERSION].dist.integrity === integrity
  } catch {
    return false
  }
}

/** @param {Buffer} bytes */
function digest(bytes) {
  return `sha512-${createHash('sha512').update(bytes).digest('base64')}`
}

/**
 * @template T
 * @param {readonly T[]} items
 */
function shuffle(items) {
  return items
    .map((item) => ({ item, at: Math.random() }))
    .sort((a, b) => a.at - b.at)
    .map(({ item }) => item)
}
