import { join } from 'node:path'
import * as sqlite from '@appthreat/sqlite3'
import { Sequelize } from 'sequelize'
import { inTurn, pick } from './measure.js'
import { makeDirectory } from './processes.js'
import { startEntrepotProcess } from './registries.js'
import { hasVerdaccio, startVerdaccioProcess } from './verdaccio.js'

const PACKAGES = 100_000

/**
 * From the start of the process to its first good answer, and the memory it has when nothing happens: Entrepot with
 * 100,000 packages, the peer with none.
 *
 * @param {import('./measure.js').Bench} bench
 * @returns {Promise<import('./measure.js').Row[]>}
 */
export async function start({ rounds, upstream }) {
  const ours = { directory: await makeDirectory(), run: startEntrepotProcess }
  const theirs = hasVerdaccio() ? { directory: await makeDirectory(), run: startVerdaccioProcess } : null
  // The first start makes the tables.
  await (await ours.run(upstream.origin, ours.directory)).stop()
  await addPackages(join(ours.directory, 'entrepot.db'))
  const figures = await inTurn(rounds, { ours, theirs }, async ({ directory, run }) => {
    const server = await run(upstream.origin, directory)
    await server.settle()
    const memory = await server.residentMegabytes()
    await server.stop()
    return { ready: server.startSeconds, memory }
  })
  const row = { lowerIsBetter: true, peer: 'verdaccio' }
  const ready = pick(figures, (figure) => figure.ready)
  const memory = pick(figures, (figure) => figure.memory)
  return [
    { ...row, what: 'ready after start, 100,000 packages', unit: 's', ...ready, goal: { atMost: 1 } },
    { ...row, what: 'RSS when idle', unit: 'MB', ...memory, goal: { atMost: 0.8 } },
  ]
}

/** @param {string} file */
async function addPackages(file) {
  const { default: dialectModule } = /** @type {{ default: object }} */ (/** @type {unknown} */ (sqlite))
  const database = new Sequelize({ dialect: 'sqlite', storage: file, dialectModule, logging: false })
  await database.query(`
    INSERT INTO package (owner_id, repo_id, type, name, lower_name, semver_compatible, is_internal)
      WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ${PACKAGES})
      SELECT 1, 0, 'npm', 'package-' || n, 'package-' || n, 1, 0 FROM number`)
  await database.query(`
    INSERT INTO package_version (package_id, creator_id, version, lower_version, created_at, is_internal,
        metadata_json, download_count, last_downloaded_at)
      SELECT id, 1, '1.0.0', '1.0.0', 1577836800000, 0, '{}', 0, 0 FROM package`)
  await database.close()
}
