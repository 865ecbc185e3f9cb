import { median } from './measure.js'

/** @typedef {import('./measure.js').Row} Row */

const WIDTHS = [46, 10, 10, 12, 10, 9, 8, 6]

/**
 * The rows with medians, ratios and goals, as text.
 *
 * @param {readonly Row[]} rows
 */
export function formatTable(rows) {
  const head = ['', 'unit', 'Entrepot', 'peer', '', 'ratio', 'goal', '']
  return [head, ...rows.map(formatRow)].map(formatLine).join('\n')
}

/** @param {Row} row */
function formatRow(row) {
  const { what, unit, ours, peer, theirs, goal } = row
  const start = [what, unit, formatFigure(median(ours)), peer]
  if (goal !== undefined && 'exactly' in goal) {
    const isMet = ours.every((figure) => figure === goal.exactly)
    return [...start, theirs ? formatFigure(median(theirs)) : 'skipped', '', `= ${goal.exactly}`, verdict(isMet)]
  }
  if (theirs === null) return [...start, 'skipped', '', goal ? formatGoal(goal) : '', '']
  const ratio = ratioOf(row, theirs)
  const end = goal === undefined ? ['', ''] : [formatGoal(goal), verdict(meets(ratio, goal))]
  return [...start, formatFigure(median(theirs)), `${formatFigure(ratio)} ×`, ...end]
}

/**
 * The median of what the rounds say: how many times better we are, or for a goal `atMost` our part of theirs.
 *
 * @param {Row} row
 * @param {readonly number[]} theirs
 */
function ratioOf({ ours, lowerIsBetter = false, goal }, theirs) {
  const isPart = goal !== undefined && 'atMost' in goal
  return median(
    ours.map((our, round) => (lowerIsBetter && !isPart ? (theirs[round] ?? 0) / our : our / (theirs[round] ?? 0))),
  )
}

/** @param {number} ratio @param {{ atLeast: number } | { atMost: number }} goal */
function meets(ratio, goal) {
  return 'atLeast' in goal ? ratio >= goal.atLeast : ratio <= goal.atMost
}

/** @param {{ atLeast: number } | { atMost: number }} goal */
function formatGoal(goal) {
  return 'atLeast' in goal ? `≥ ${goal.atLeast}` : `≤ ${goal.atMost}`
}

/** @param {boolean} isMet */
function verdict(isMet) {
  return isMet ? 'met' : 'MISSED'
}

/** @param {number} figure */
function formatFigure(figure) {
  const digits = figure >= 100 ? 0 : figure >= 10 ? 1 : 2
  return figure.toLocaleString('en-US', { maximumFractionDigits: digits, minimumFractionDigits: digits })
}

/** @param {readonly string[]} cells */
function formatLine(cells) {
  const isText = (/** @type {number} */ n) => [0, 1, 3, 7].includes(n)
  return cells
    .map((cell, n) => (isText(n) ? cell.padEnd(WIDTHS[n] ?? 0) : cell.padStart(WIDTHS[n] ?? 0)))
    .join(' ')
    .trimEnd()
}
