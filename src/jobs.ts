import { packageTypes } from './package-types/index.ts'
import type { Services } from './services.ts'

const DAY = 86_400_000

/** Starts what runs by itself; the result stops it. */
export function startJobs(services: Services): () => void {
  let timer: NodeJS.Timeout
  const scheduleMidnight = () => {
    const now = services.clock.now()
    timer = setTimeout(run, DAY - (now % DAY)).unref()
  }
  const run = () => {
    cleanUp(services)
      .catch((err: unknown) => services.log.error({ err }, 'cleanup failed'))
      .finally(scheduleMidnight)
  }
  scheduleMidnight()
  if (services.config.webhooks.enabled) services.webhooks.deliveries.start()
  return () => clearTimeout(timer)
}

/** Removes what cleanup rules and types name, then what nothing refers to any more, and what is too old. */
async function cleanUp(services: Services): Promise<void> {
  const { accessTokens, audit, packages, webhooks, config, log } = services
  for (const type of packageTypes) await type.tidy?.(services)
  log.info(await packages.cleanupRules.runAll(), 'cleanup rules applied')
  log.info(await packages.collectGarbage(), 'garbage collected')
  log.info({ tokens: await accessTokens.removeExpired() }, 'expired tokens removed')
  log.info({ deliveries: await webhooks.tasks.prune(config.webhooks.keepDeliveries) }, 'old deliveries removed')
  log.info({ events: await audit.prune(config.audit.keepDays) }, 'old audit events removed')
}
