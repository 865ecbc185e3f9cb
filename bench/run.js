// `npm run bench -- [group …] [--rounds=5] [--seconds=2]`: docs/performance.md
import { cpus, loadavg } from 'node:os'
import { parseArgs } from 'node:util'
import { blob } from './blob.js'
import { hasDockerRegistry } from './docker-registry.js'
import { install } from './install.js'
import { layerMisses } from './layer-misses.js'
import { manifest } from './manifest.js'
import { misses } from './misses.js'
import { packument } from './packument.js'
import { cleanUp } from './processes.js'
import { publish } from './publish.js'
import { push } from './push.js'
import { startUpstream } from './registries.js'
import { start } from './start.js'
import { formatTable } from './table.js'
import { tarball } from './tarball.js'
import { installVerdaccio } from './verdaccio.js'

/** @type {Record<string, (bench: import('./measure.js').Bench) => Promise<import('./measure.js').Row[]>>} */
const npm = { packument, tarball, publish, misses, install, start }
/** @type {typeof npm} */
const containers = { manifest, blob, push, 'layer-misses': layerMisses }
const groups = { ...npm, ...containers }
/** Ms for everything; a server that hangs must not hold anybody up for ever. */
const LIMIT = 40 * 60_000

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '2' } },
})
const wanted = positionals.length === 0 ? Object.keys(groups) : positionals
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)
if (!wanted.every((name) => Object.hasOwn(groups, name)) || !(rounds >= 1) || !(seconds > 0)) {
  process.stderr.write(`Usage: npm run bench -- [${Object.keys(groups).join('|')} …] [--rounds=5] [--seconds=2]\n`)
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

try {
  if (wanted.some((name) => Object.hasOwn(npm, name))) await installVerdaccio()
  if (wanted.some((name) => Object.hasOwn(containers, name)) && !hasDockerRegistry()) {
    process.stdout.write(
      'docker-registry is not there: comparisons with it are skipped (apt install docker-registry)\n',
    )
  }
  const bench = { rounds, seconds, upstream: await startUpstream() }
  for (const name of wanted) {
    const before = formatLoad()
    const rows = await groups[name]?.(bench)
    const machine = `Node ${process.version}, ${cpus().length} cores, load ${before} before and ${formatLoad()} after`
    process.stdout.write(`\n${name}: medians of ${rounds} rounds; ${machine}\n${formatTable(rows ?? [])}\n`)
  }
} finally {
  await cleanUp()
}

function formatLoad() {
  return (loadavg()[0] ?? 0).toFixed(1)
}
