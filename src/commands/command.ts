import { parseArgs } from 'node:util'
import { type Terminal, UsageError } from './terminal.ts'

/** One option of a command; with `value` it takes one, which the help calls by that name. */
export interface CommandOption {
  readonly value?: string
  readonly help: string
}

/** One command as it is typed, explained and run. */
export interface Command {
  /** `serve`, or two words: `user create`. */
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** What must follow the name, in order: `NAME`. */
  readonly operands?: readonly string[]
  readonly options?: Readonly<Record<string, CommandOption>>
  /** Paragraphs below the usage; lines of at most 100 characters. */
  readonly help: string
  /** The exit code. */
  run(input: CommandInput, terminal: Terminal): Promise<number>
}

/** What stood behind the name of a command; every operand is there. */
export class CommandInput {
  readonly operands: readonly string[]
  readonly #values: Readonly<Record<string, string | boolean | undefined>>

  constructor(operands: readonly string[], values: Readonly<Record<string, string | boolean | undefined>>) {
    this.operands = operands
    this.#values = values
  }

  /** Whether an option without a value was given. */
  has(option: string): boolean {
    return this.#values[option] === true
  }

  /** The value of an option. */
  value(option: string): string | undefined {
    const value = this.#values[option]
    return typeof value === 'string' ? value : undefined
  }

  /** The value of an option that must be there, else UsageError. */
  required(option: string): string {
    const value = this.value(option)
    if (value === undefined) throw new UsageError(`--${option} is missing`)
    return value
  }
}

/** Reads what stands behind the name. Throws UsageError. `isHelp`: only an explanation is wanted. */
export function parseInput(command: Command, args: readonly string[]): { input: CommandInput; isHelp: boolean } {
  const { operands = [], options = {} } = command
  const known = Object.entries(options).map(([name, { value }]) => [
    name,
    { type: value === undefined ? ('boolean' as const) : ('string' as const) },
  ])
  let parsed: { values: Record<string, unknown>; positionals: string[] }
  try {
    parsed = parseArgs({
      args: [...args],
      options: { ...Object.fromEntries(known), help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    })
  } catch (error) {
    throw new UsageError(messageOf(error as Error))
  }
  const values = parsed.values as Record<string, string | boolean | undefined>
  const input = new CommandInput(parsed.positionals, values)
  if (values['help'] === true) return { input, isHelp: true }
  const missing = operands[input.operands.length]
  if (missing !== undefined) throw new UsageError(`${missing} is missing`)
  const extra = input.operands[operands.length]
  if (extra !== undefined) throw new UsageError(`what is ${JSON.stringify(extra)}? Nothing more was expected`)
  return { input, isHelp: false }
}

/** The explanation of one command. */
export function explain({ name, summary, operands = [], options = {}, help }: Command): string {
  const lines = Object.entries(options).map(([option, { value, help }]) => {
    const written = value === undefined ? `--${option}` : `--${option} ${value}`
    return `  ${written.padEnd(28)} ${help}`
  })
  const usage = ['Usage: entrepot', name, ...operands, ...(lines.length === 0 ? [] : ['[options]'])].join(' ')
  const listed = lines.length === 0 ? [] : ['', 'Options:', ...lines]
  return [usage, '', summary, '', help, ...listed, ''].join('\n')
}

/** Node's advice about arguments that start with a dash helps nobody here. */
function messageOf({ message }: Error): string {
  const first = message.split(/\. To specify/, 1)[0]!
  if (!/^Unknown option '--?(password|pass|pw|p)\b/i.test(first)) return first
  return `${first}. A password is never an argument, because everybody on this host could read it: use --password-stdin`
}
