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
    services.packages
      .collectGarbage()
      .then((freed) => services.log.info(freed, 'garbage collected'))
      .catch((err: unknown) => services.log.error({ err }, 'garbage not collected'))
      .finally(scheduleMidnight)
  }
  scheduleMidnight()
  return () => clearTimeout(timer)
}
