import type { Logger } from 'pino'

/** Fields first, then a short message; an error is logged once, where it is answered; never credentials. */
export type Log = Logger
