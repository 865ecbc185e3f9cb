import autocannon from 'autocannon'

/** @typedef {import('./processes.js').ServerProcess} ServerProcess */

/**
 * What every group is given.
 *
 * @typedef {object} Bench
 * @property {number} rounds how often everything is measured, one server after the other
 * @property {number} seconds how long one server is loaded in a round, about
 * @property {ServerProcess} upstream
 */

/**
 * One line of the table. `ours` and `theirs` hold a figure per round; `theirs` is null where the peer is not there.
 * `atLeast` is how many times better we are to be, `atMost` our figure as a part of theirs.
 *
 * @typedef {object} Row
 * @property {string} what
 * @property {string} unit
 * @property {number[]} ours
 * @property {string} peer
 * @property {number[] | null} theirs
 * @property {boolean} [lowerIsBetter]
 * @property {{ atLeast: number } | { atMost: number } | { exactly: number }} [goal]
 */

/**
 * @typedef {object} Target
 * @property {ServerProcess} server
 * @property {string} path
 * @property {Record<string, string>} headers
 * @property {number} [status]
 * @property {number} [connections]
 */

const CONNECTIONS = 16
/** Seconds after which a request counts as lost; sixteen answers of a slow peer take a while. */
const PATIENCE = 120

/**
 * Who is measured, or what was: `theirs` is null where the peer is not installed.
 *
 * @template T
 * @typedef {{ ours: T, theirs: T | null, bare?: T }} Contest
 */

/**
 * Requests per CPU second of each target, round by round; the targets take turns.
 *
 * @param {Bench} bench
 * @param {Contest<Target>} targets
 * @returns {Promise<Contest<number[]>>}
 */
export async function compareLoad({ rounds, seconds }, targets) {
  /** @type {Map<Target, number>} */
  const amounts = new Map()
  for (const target of Object.values(targets)) if (target !== null) amounts.set(target, await warmUp(target, seconds))
  return inTurn(rounds, targets, (target) => load(target, amounts.get(target) ?? CONNECTIONS))
}

/**
 * Measures each contender once per round, in an order that turns around, so that what else the machine does meets all.
 *
 * @template Contender, Figure
 * @param {number} rounds
 * @param {Contest<Contender>} contenders
 * @param {(contender: Contender, round: number) => Promise<Figure>} measure
 * @returns {Promise<Contest<Figure[]>>}
 */
export async function inTurn(rounds, { ours, theirs, bare }, measure) {
  /** @type {Contest<Figure[]>} */
  const figures = { ours: [], theirs: theirs === null ? null : [], ...(bare !== undefined && { bare: [] }) }
  for (let round = 0; round < rounds; round += 1) {
    const turns = [
      async () => figures.ours.push(await measure(ours, round)),
      async () => theirs !== null && figures.theirs?.push(await measure(theirs, round)),
      async () => bare !== undefined && figures.bare?.push(await measure(bare, round)),
    ]
    for (const turn of round % 2 === 0 ? turns : turns.toReversed()) await turn()
  }
  return figures
}

/**
 * One figure of each measurement, as a row wants them.
 *
 * @template Figure
 * @param {Contest<Figure[]>} figures
 * @param {(figure: Figure) => number} of
 * @returns {{ ours: number[], theirs: number[] | null }}
 */
export function pick({ ours, theirs }, of) {
  return { ours: ours.map(of), theirs: theirs?.map(of) ?? null }
}

/**
 * Loads the target until it is warm; resolves to the number of requests that keep it busy for the time wanted.
 *
 * @param {Target} target
 * @param {number} seconds
 */
async function warmUp(target, seconds) {
  const { connections = CONNECTIONS } = target
  for (let amount = connections; ; amount *= 4) {
    const startedAt = performance.now()
    await load(target, amount)
    const took = (performance.now() - startedAt) / 1_000
    if (took > seconds) return Math.max(1, Math.round((amount * seconds) / took / connections)) * connections
  }
}

/**
 * @param {Target} target
 * @param {number} amount
 * @returns {Promise<number>} requests per CPU second
 */
async function load({ server, path, headers, status = 200, connections = CONNECTIONS }, amount) {
  const before = server.cpuSeconds()
  const url = `${server.origin}${path}`
  const { errors, statusCodeStats } = await autocannon({
    url,
    headers,
    connections,
    amount,
    timeout: PATIENCE,
    sampleInt: 50,
    // It makes text of every body, which for tarballs is more work than the server has.
    setupClient: ({ pipelinedRequests }) => {
      pipelinedRequests.addBody = () => {}
    },
  })
  const spent = server.cpuSeconds() - before
  if (errors > 0 || statusCodeStats[status]?.count !== amount) {
    throw new Error(
      `${url}: ${errors} errors, statuses ${JSON.stringify(statusCodeStats)}, wanted ${amount} × ${status}`,
    )
  }
  return amount / spent
}

/** @param {readonly number[]} figures */
export function median(figures) {
  const sorted = figures.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}
