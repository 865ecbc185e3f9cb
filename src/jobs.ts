import { packageTypes } from './package-types/index.ts'
import type { Job } from './schedule/index.ts'
import type { Services } from './services.ts'

/** ms. */
const EVICTION = 600_000

/** Starts what runs by itself; closing the services stops it. */
export function startJobs(services: Services): void {
  addJobs(services)
  services.schedule.start()
  if (services.config.webhooks.enabled) services.webhooks.deliveries.start()
}

/** Makes known what the server does by itself: what is removed because of rules, references, age or want of space. */
export function addJobs(services: Services): void {
  const { accessTokens, audit, eviction, packages, trustedPublishing, webhooks, config } = services
  const tidies: Job['steps'] = Object.fromEntries(
    packageTypes.flatMap(({ name, tidy }) => (tidy === undefined ? [] : [[`${name} tidied`, () => tidy(services)]])),
  )
  services.schedule.add(
    {
      name: 'cleanup_packages',
      steps: {
        ...tidies,
        'cleanup rules applied': () => packages.cleanupRules.runAll(),
        'garbage collected': () => packages.collectGarbage(),
      },
    },
    {
      name: 'evict_cached_files',
      every: EVICTION,
      steps: { 'caches of mirrors looked through': async () => (await eviction.run()) ?? {} },
    },
    {
      name: 'cleanup_access_tokens',
      steps: {
        'expired tokens removed': async () => ({ tokens: await accessTokens.removeExpired() }),
        'ended id-tokens forgotten': async () => ({ idTokens: await trustedPublishing.forgetEnded() }),
      },
    },
    {
      name: 'cleanup_hook_task_table',
      steps: {
        'old deliveries removed': async () => ({
          deliveries: await webhooks.tasks.prune(config.webhooks.keepDeliveries),
        }),
      },
    },
    {
      name: 'cleanup_audit_log',
      steps: { 'old audit events removed': async () => ({ events: await audit.prune(config.audit.keepDays) }) },
    },
  )
}
