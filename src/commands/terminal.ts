/** Where text goes. */
export interface Output {
  write(text: string): unknown
  /** Somebody looks at it while it is written. */
  readonly isTTY?: boolean | undefined
  /** Characters per line of a terminal. */
  readonly columns?: number | undefined
}

/** What a command has of the process: tests give their own. */
export interface Terminal {
  readonly environment: NodeJS.ProcessEnv
  readonly stdin: AsyncIterable<Buffer | string>
  /** For results alone, so that scripts can use them. */
  readonly stdout: Output
  /** For remarks, errors and progress. */
  readonly stderr: Output
}

/** Input of a command line that cannot be used: exit code 2. */
export class UsageError extends Error {}

/** A failure whose message says all: exit code 1, no stack. */
export class CommandError extends Error {}

/** `1,234,567` */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}

/** `1 blob`, `2 blobs`, `1,234 blobs`. */
export function formatAmount(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`
}

/** `1.5 GiB` */
export function formatBytes(bytes: number): string {
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = 0
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}
