const DURATIONS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }
const SIZES: Record<string, number> = {
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
}

/** `1.5h` → milliseconds; null when the unit is missing or unknown. */
export function parseDuration(text: string): number | null {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text)
  return match === null ? null : Math.round(Number(match[1]) * DURATIONS[match[2]!]!)
}

/** `20MiB`, `10GB`, `-1` (unlimited) → bytes; null when it is no size. A bare number is bytes. */
export function parseSize(text: string): number | null {
  if (text === '-1') return -1
  const match = /^(\d+(?:\.\d+)?)\s*([kmgt]?i?b)?$/i.exec(text)
  const factor = SIZES[(match?.[2] ?? 'b').toLowerCase()]
  if (match === null || factor === undefined) return null
  const bytes = Math.round(Number(match[1]) * factor)
  return Number.isSafeInteger(bytes) ? bytes : null
}
