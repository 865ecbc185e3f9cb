import { type Logger, stdSerializers } from 'pino'

/** Fields first, then a short message; an error is logged once, where it is answered; never credentials. */
export type Log = Logger

/** What errors of the database carry along: statements with their values, which may be anybody's secret. */
const CARRIED = ['sql', 'parameters', 'parent', 'original', 'errors', 'aggregateErrors', 'fields', 'instance']

/** How every log writes errors. */
export const logSerializers = {
  err: (error: Error): object => {
    const shown: Record<string, unknown> = { ...stdSerializers.err(error) }
    for (const key of CARRIED) delete shown[key]
    return shown
  },
}
