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
  const run = () => void cleanUp(services).finally(scheduleMidnight)
  scheduleMidnight()
  if (services.config.webhooks.enabled) services.webhooks.deliveries.start()
  return () => clearTimeout(timer)
}

/** Removes what cleanup rules and types name, then what nothing refers to any more, and what is too old. */
async function cleanUp(services: Services): Promise<void> {
  const { accessTokens, audit, packages, webhooks, config, log } = services
  const step = async (what: string, work: () => Promise<object>) => {
    try {
      log.info(await work(), what)
    } catch (err) {
      log.error({ err }, `not done: ${what}`)
    }
  }
  for (const { name, tidy } of packageTypes) {
    if (tidy !== undefined) await step(`${name} tidied`, () => tidy(services))
  }
  await step('cleanup rules applied', () => packages.cleanupRules.runAll())
  await step('garbage collected', () => packages.collectGarbage())
  await step('expired tokens removed', async () => ({ tokens: await accessTokens.removeExpired() }))
  await step('old deliveries removed', async () => ({
    deliveries: await webhooks.tasks.prune(config.webhooks.keepDeliveries),
  }))
  await step('old audit events removed', async () => ({ events: await audit.prune(config.audit.keepDays) }))
}
