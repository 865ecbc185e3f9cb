import closeWithGrace from 'close-with-grace'
import { buildApp } from '../app.ts'
import { startJobs } from '../jobs.ts'
import { packageTypes } from '../package-types/index.ts'
import { start } from './start.ts'

/** ms to store what is in hand once the last connection is closed. */
const LAST_WORK = 8_000
const IDLE_CHECK = 100

/** Serves until SIGTERM or SIGINT, then lets running requests end and exits 0. */
export async function serve(): Promise<void> {
  const { config, log, services } = await start(process.env)
  const say = (line: string) => process.stdout.write(`${line}\n`)
  await services.accounts.ensureFirstAdmin(config, config.dataDir, say)
  const app = await buildApp(services)
  const stopJobs = startJobs(services)
  closeWithGrace({ delay: config.shutdownTimeout + LAST_WORK, logger: log }, async ({ err, signal }) => {
    if (err !== undefined) log.fatal({ err }, 'stopping')
    else log.info({ signal }, 'stopping')
    stopJobs()
    // Whoever is not done by then does not want to be: the exit is in order all the same.
    const impatience = setTimeout(() => app.server.closeAllConnections(), config.shutdownTimeout)
    // A connection that becomes idle after the stop began would be kept for its next request.
    const idle = setInterval(() => app.server.closeIdleConnections(), IDLE_CHECK)
    await app.close()
    clearTimeout(impatience)
    clearInterval(idle)
    await services.close()
    log.flush()
  })
  await app.listen({ host: config.host, port: config.port })
  say(`Entrepot ${services.version} serves ${config.baseUrl}`)
  for (const { name, owner, type } of services.upstream.list()) {
    say(`  mirror of ${name}: ${addressOf(type)(config.baseUrl, owner)}`)
  }
}

function addressOf(typeName: string) {
  return packageTypes.find(({ name }) => name === typeName)!.clientAddress
}
