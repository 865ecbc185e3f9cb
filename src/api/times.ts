import { Unprocessable } from '../errors.ts'

const RFC_3339 = /^(\d{4})-(\d\d)-(\d\d)T\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/
const UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const

/** Reads a time as callers write it, in ms. Unprocessable, `[Field]: …`, for what is none. */
export function readTime(text: string, field: string): number {
  const upper = text.toUpperCase()
  const [, year, month, day] = (RFC_3339.exec(upper) ?? []).map(Number)
  const time = Date.parse(upper)
  // Date.parse takes the 30th of February for the 2nd of March.
  if (day === undefined || Number.isNaN(time) || new Date(Date.UTC(year!, month! - 1, day)).getUTCDate() !== day) {
    throw new Unprocessable(`[${field}]: must be a time such as 2030-12-31T00:00:00Z`)
  }
  return time
}

/** `3d`, `90m`: ms in the largest unit without a rest, as `parseDuration` reads it. */
export function formatDuration(ms: number): string {
  const [unit, length] = UNITS.find(([, size]) => ms >= size && ms % size === 0) ?? (['ms', 1] as const)
  return `${ms / length}${unit}`
}
