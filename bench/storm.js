// `npm run bench:storm -- [clients] [packages]`: docs/performance.md
import { mkdir, writeFile } from 'node:fs/promises'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { request } from 'undici'
import { cleanUp, findFreePort, makeDirectory, ServerProcess } from './processes.js'
import { newTally, runClients } from './storm-clients.js'

const root = fileURLToPath(new URL('..', import.meta.url))
/** Ms for everything; a server that hangs must not hold anybody up for ever. */
const LIMIT = 20 * 60_000
const SAMPLE_INTERVAL = 1_000
/** Attempts before a client gives up: when an upstream fails one time in four, one in a million gets this far. */
const ATTEMPTS = 12
/** Share of the warm round's requests after which the upstream is switched off. */
const SWITCH_OFF_AFTER = 0.5

const [clients, packages] = [Number(process.argv[2] ?? 500), Number(process.argv[3] ?? 60)]
if (!(clients > 0 && packages > 0)) {
  process.stderr.write('Usage: npm run bench:storm -- [clients] [packages]\n')
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

let isClean = true
try {
  const upstream = await startUpstream()
  const server = await startEntrepot(upstream.origin)
  process.stdout.write(`${clients} clients, ${packages} packages; Node ${process.version}, ${cpus().length} cores\n`)
  await storm(server, 'cold', () => {})
  process.stdout.write(`upstream was asked: ${await countsOf(upstream)}\n`)
  const expected = clients * packages * 2
  await storm(server, 'warm, upstream off in the middle', (tally) => {
    if (tally.requests > expected * SWITCH_OFF_AFTER) upstream.kill()
  })
  await storm(server, 'upstream off', () => {})
} finally {
  await cleanUp()
}
process.exitCode = isClean ? 0 : 1

async function startUpstream() {
  const port = await findFreePort()
  const directory = await makeDirectory()
  const args = [join(root, 'bench/storm-upstream.js'), String(port)]
  return ServerProcess.start({ directory, port, args, readyPath: '/-/counts' })
}

/** @param {ServerProcess} upstream */
async function countsOf(upstream) {
  return (await request(`${upstream.origin}/-/counts`)).body.text()
}

/** @param {string} upstream origin */
async function startEntrepot(upstream) {
  const directory = await makeDirectory()
  await mkdir(join(directory, 'upstreams'))
  const file = { type: 'npm', owner: 'npmjs', url: upstream, allowPrivateNetwork: true }
  await writeFile(join(directory, 'upstreams/npmjs.yaml'), JSON.stringify(file))
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
      ENTREPOT_RATE_LIMITS_PACKAGE_READS: '-1',
      // Documents grow old while it runs, so that warm clients depend on the upstream too.
      ENTREPOT_MIRRORS_FRESH: '5s',
      ENTREPOT_MIRRORS_STALE_WHILE_REVALIDATE: '5s',
    },
  })
}

/**
 * Lets all clients loose once and prints what came of it.
 *
 * @param {ServerProcess} server
 * @param {string} what
 * @param {(tally: import('./storm-clients.js').Tally) => void} meanwhile
 */
async function storm(server, what, meanwhile) {
  const tally = newTally()
  let [memory, delays] = [0, /** @type {number[]} */ ([])]
  let isOver = false
  const sampling = (async () => {
    await eventLoopDelay(server)
    while (!isOver) {
      await sleep(SAMPLE_INTERVAL)
      memory = Math.max(memory, await server.residentMegabytes())
      delays.push(await eventLoopDelay(server))
      meanwhile(tally)
    }
  })()
  const startedAt = performance.now()
  const cpuBefore = server.cpuSeconds()
  const registry = `${server.origin}/api/packages/npmjs/npm`
  await runClients(registry, { clients, packages, attempts: ATTEMPTS, tally })
  isOver = true
  await sampling
  const seconds = (performance.now() - startedAt) / 1_000
  delays = delays.sort((a, b) => a - b)
  const [middle, worst] = [delays[delays.length >> 1] ?? 0, delays.at(-1) ?? 0]
  isClean &&= tally.wrong === 0 && (tally.answers['404'] ?? 0) === 0
  process.stdout.write(
    `${what}: ${seconds.toFixed(1)} s, ${tally.requests} requests (${(tally.requests / seconds).toFixed(0)}/s), ` +
      `${(server.cpuSeconds() - cpuBefore).toFixed(1)} CPU s\n` +
      `  wrong bytes ${tally.wrong}, untrue 404s ${tally.answers['404'] ?? 0}, answers ${JSON.stringify(tally.answers)}\n` +
      `  clients that got everything ${tally.finished}, that gave up on something ${tally.starved}\n` +
      `  RSS ${memory.toFixed(0)} MB at the worst; event loop delay p99 of a second: ${middle.toFixed(0)} ms in the middle, ` +
      `${worst.toFixed(0)} ms at the worst\n`,
  )
}

/**
 * Ms that 99 of 100 turns of the event loop were late at most, since it was last asked.
 *
 * @param {ServerProcess} server
 */
async function eventLoopDelay(server) {
  const text = await (await request(`${server.origin}/metrics`)).body.text()
  return Number(/^nodejs_eventloop_lag_p99_seconds (\S+)/m.exec(text)?.[1]) * 1_000
}
