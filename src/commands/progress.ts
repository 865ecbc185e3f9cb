import { formatBytes, formatCount, type Output } from './terminal.ts'

/** ms between two lines where nobody watches, and between two drawings of a bar. */
const LINE_INTERVAL = 5_000
const DRAW_INTERVAL = 100
const BAR = 24

/** What is counted. */
export interface ProgressOptions {
  readonly label: string
  /** 0 or less: nobody knows how much there is, and no bar is drawn. */
  readonly total: number
  /** `share`: how far alone is shown. */
  readonly unit: 'count' | 'bytes' | 'share'
  /** Ms; a clock that never goes back. */
  readonly now?: () => number
}

/**
 * How far long work is: a bar that is drawn over on a terminal and gone at the end, otherwise a line every five seconds,
 * so that work of a moment leaves no trace in a log.
 */
export class Progress {
  readonly #output: Output
  readonly #options: ProgressOptions
  readonly #now: () => number
  readonly #started: number
  #done = 0
  #shown: number
  #isDrawn = false

  constructor(output: Output, options: ProgressOptions) {
    this.#output = output
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#started = this.#now()
    this.#shown = this.#started
  }

  /** So much more is done. */
  advance(amount: number): void {
    this.to(this.#done + amount)
  }

  /** So much is done in all. */
  to(done: number): void {
    this.#done = done
    const now = this.#now()
    const isTerminal = this.#output.isTTY === true
    if (now - this.#shown < (isTerminal ? DRAW_INTERVAL : LINE_INTERVAL)) return
    this.#shown = now
    if (!isTerminal) this.#output.write(`${this.#text(now)}\n`)
    else this.#draw(now)
  }

  /** Removes the bar, so that other lines can be written. It comes back with the next step. */
  clear(): void {
    if (this.#isDrawn) this.#output.write('\r\u001b[K')
    this.#isDrawn = false
  }

  #draw(now: number): void {
    const line = this.#text(now)
    this.#output.write(`\r\u001b[K${line.slice(0, Math.max(1, (this.#output.columns ?? 80) - 1))}`)
    this.#isDrawn = true
  }

  #text(now: number): string {
    const { label, total } = this.#options
    if (total <= 0) return `${label}: ${this.#amount(this.#done)}`
    const share = Math.min(1, this.#done / total)
    const filled = Math.round(share * BAR)
    const bar = this.#output.isTTY === true ? ` [${'#'.repeat(filled)}${'.'.repeat(BAR - filled)}]` : ''
    const amounts = this.#options.unit === 'share' ? '' : ` ${this.#amount(this.#done)} of ${this.#amount(total)}`
    return `${label}:${bar} ${Math.floor(share * 100)} %${amounts}${this.#left(now, share)}`
  }

  #left(now: number, share: number): string {
    const elapsed = now - this.#started
    if (share === 0 || share === 1 || elapsed < 2_000) return ''
    const seconds = Math.round((elapsed / share - elapsed) / 1_000)
    if (seconds < 60) return `, ${seconds} s left`
    return seconds < 3_600 ? `, ${Math.round(seconds / 60)} min left` : `, ${(seconds / 3_600).toFixed(1)} h left`
  }

  #amount(amount: number): string {
    return this.#options.unit === 'bytes' ? formatBytes(amount) : formatCount(amount)
  }
}
