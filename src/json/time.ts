/** How the REST API writes a time that never was (rest-api.md §2). */
const NEVER = '0001-01-01T00:00:00Z'

/** RFC 3339 in whole seconds, UTC. */
export function formatTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}

/** Like `formatTime`; 0 is never. */
export function formatTimeOrNever(ms: number): string {
  return ms === 0 ? NEVER : formatTime(ms)
}

/** A time that the caller may not know. */
export const hiddenTime = NEVER
