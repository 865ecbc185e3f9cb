import closeWithGrace from 'close-with-grace'
import { buildApp } from '../app.ts'
import { startJobs } from '../jobs.ts'
import { packageTypes } from '../package-types/index.ts'
import type { Command } from './command.ts'
import { start } from './start.ts'
import type { Terminal } from './terminal.ts'

/** ms to store what is in hand once the last connection is closed. */
const LAST_WORK = 8_000
const IDLE_CHECK = 100

/** The server itself. */
export const serve: Command = {
  name: 'serve',
  summary: 'Migrate the database, then serve until SIGTERM or SIGINT.',
  help: `At the first start it makes the administrator (admin.username, admin.password; without a password it draws one,
prints it once, and keeps it in <dataDir>/initial-admin-password), unless \`user create --admin\` has made one.

SIGTERM and SIGINT stop taking connections, let running requests end (shutdownTimeout, 20 s) and exit 0.`,
  run: async (_input, terminal) => {
    await startServing(terminal)
    return 0
  },
}

async function startServing({ environment, stdout }: Terminal): Promise<void> {
  const { config, log, services } = await start(environment)
  const say = (line: string) => stdout.write(`${line}\n`)
  await services.accounts.ensureFirstAdmin(config, config.dataDir, say)
  const app = await buildApp(services)
  startJobs(services)
  closeWithGrace({ delay: config.shutdownTimeout + LAST_WORK, logger: log }, async ({ err, signal }) => {
    if (err !== undefined) log.fatal({ err }, 'stopping')
    else log.info({ signal }, 'stopping')
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
