import type { Output } from '../terminal.ts'

/** What doctor found, line by line. */
export class Report {
  failures = 0
  warnings = 0
  readonly #output: Output
  /** Called before each line: a bar must not be in its way. */
  beforeLine: () => void = () => {}

  constructor(output: Output) {
    this.#output = output
  }

  ok(subject: string, text: string): void {
    this.#write('ok', subject, text)
  }

  /** Works, and may not do what was meant; `advice` says what to do. */
  warn(subject: string, text: string, advice: string): void {
    this.warnings += 1
    this.#write('warn', subject, text, advice)
  }

  /** Does not work, or will not; `advice` says what to do. */
  fail(subject: string, text: string, advice: string): void {
    this.failures += 1
    this.#write('fail', subject, text, advice)
  }

  /** More about the line before. */
  detail(text: string): void {
    this.beforeLine()
    this.#output.write(`${' '.repeat(21)}${text}\n`)
  }

  #write(level: string, subject: string, text: string, advice?: string): void {
    this.beforeLine()
    this.#output.write(`${level.padEnd(5)} ${subject.padEnd(14)} ${oneLine(text)}\n`)
    if (advice !== undefined) this.detail(`→ ${advice}`)
  }
}

/** Messages of parsers have several lines. */
function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ' ')
}

/** The message of an error, and of what caused it where that says more. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  if (error instanceof AggregateError && error.message === '') return reasonOf(error.errors[0])
  return error.message || (error as NodeJS.ErrnoException).code || error.name
}
