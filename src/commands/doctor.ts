import { pingRedis } from '../cache/ping-redis.ts'
import type { Config } from '../config/config.ts'
import type { Command } from './command.ts'
import { checkBlobs } from './doctor/blobs.ts'
import { checkConfiguration, readUpstreams } from './doctor/configuration.ts'
import { checkDataDirectory } from './doctor/data-directory.ts'
import { checkDatabase } from './doctor/database.ts'
import { Report, reasonOf } from './doctor/report.ts'
import { checkSecretKey } from './doctor/secret-key.ts'
import { checkUpstreams } from './doctor/upstreams.ts'
import { formatAmount } from './terminal.ts'

const REDIS_LIMIT = 5_000

/** Everything that can be wrong with an installation, and what to do about it. */
export const doctor: Command = {
  name: 'doctor',
  summary: 'Check the installation: settings, disk, database, blobs, clock, upstreams; say what to do.',
  options: {
    verify: { help: 'read every blob and compare its digests; takes as long as reading packages/ does' },
    all: { help: 'show every blob with something wrong, not ten' },
  },
  help: `Looks, and changes nothing: no migration, no repair, no new database; where it must try whether something can be
written, it removes what it wrote. Works beside a running server, and without one. Each line is

  ok    as it should be
  warn  works, but look at it: an upstream that is away, a disk that is filling up, contents without rows
  fail  the server does not start, cannot store, or cannot serve something that it lists

and below a warn or fail what to do about it. The exit code is 1 when something failed, else 0.

Upstreams are asked once each, for their base URL, within 10 seconds, as the server would: those that are switched
offline or blocked are not. Of their clocks and this host’s one minute of difference is borne.`,
  run: async (input, terminal) => {
    const report = new Report(terminal.stdout)
    const config = await checkConfiguration(report, terminal.environment)
    if (config !== null) {
      const upstreams = await readUpstreams(report, config, terminal.environment)
      const isThere = await checkDataDirectory(report, config)
      const db = await checkDatabase(report, config)
      try {
        if (isThere) await checkSecretKey(report, config, db)
        await checkRedis(report, config)
        if (upstreams !== null && upstreams.length > 0) await checkUpstreams(report, upstreams, config, db)
        const checks = { verify: input.has('verify'), all: input.has('all') }
        if (isThere && db !== null) await checkBlobs(report, config, db, terminal, checks)
      } finally {
        await db?.close()
      }
    }
    const { failures, warnings } = report
    terminal.stdout.write(`\n${formatAmount(failures, 'failure')}, ${formatAmount(warnings, 'warning')}\n`)
    return failures > 0 ? 1 : 0
  },
}

async function checkRedis(report: Report, { redis, database }: Config): Promise<void> {
  if (redis.url === '') {
    const isServer = !database.url.startsWith('sqlite:')
    report.ok('redis', isServer ? 'none: right for one server, several need it to hear of changes' : 'none, not needed')
    return
  }
  try {
    await pingRedis(redis.url, REDIS_LIMIT)
    report.ok('redis', 'answers')
  } catch (error) {
    const advice = 'start it, or see redis.url (ENTREPOT_REDIS_URL); the server waits for it when it starts'
    report.fail('redis', `does not answer: ${reasonOf(error)}`, advice)
  }
}
