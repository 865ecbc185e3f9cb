import { ConfigError } from '../config/config.ts'
import { RegistryError } from '../errors.ts'
import { type Command, explain, parseInput } from './command.ts'
import { doctor } from './doctor.ts'
import { gc } from './gc.ts'
import { migrate } from './migrate.ts'
import { serve } from './serve.ts'
import { CommandError, type Terminal, UsageError } from './terminal.ts'
import { createToken } from './token.ts'
import { createUser, resetPassword } from './user.ts'
import { readVersion } from './version.ts'

/** In the order of the help. */
const commands: readonly Command[] = [serve, migrate, createUser, resetPassword, createToken, gc, doctor]

/**
 * Runs one command line (without `node` and the script) and tells the exit code: 0 done, 1 failed or something is
 * wrong, 2 not understood. Nothing is thrown; a stack is printed only for what nobody expected.
 */
export async function runCommandLine(args: readonly string[], terminal: Terminal): Promise<number> {
  let hint = 'entrepot --help'
  try {
    const chosen = choose(args)
    if (typeof chosen === 'string') {
      terminal.stdout.write(chosen === '' ? `${await readVersion()}\n` : chosen)
      return 0
    }
    const { command, rest } = chosen
    hint = `entrepot ${command.name} --help`
    const { input, isHelp } = parseInput(command, rest)
    if (!isHelp) return await command.run(input, terminal)
    terminal.stdout.write(explain(command))
    return 0
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.stderr.write(`entrepot: ${error.message}\nSee: ${hint}\n`)
      return 2
    }
    terminal.stderr.write(`entrepot: ${messageOf(error)}\n`)
    return 1
  }
}

/** The command, or the text that was asked for instead; empty: the version. Without any argument it is `serve`. */
function choose(args: readonly string[]): { command: Command; rest: readonly string[] } | string {
  const [first = 'serve', second] = args
  if (first === '--version') return ''
  if (first === '--help' || first === '-h') return overview(commands)
  if (first === 'help') return args.length === 1 ? overview(commands) : helpOn(args.slice(1))
  const single = commands.find(({ name }) => name === first)
  if (single !== undefined) return { command: single, rest: args.slice(1) }
  const group = commands.filter(({ name }) => name.startsWith(`${first} `))
  if (group.length === 0) {
    throw new UsageError(first.startsWith('-') ? `Unknown option '${first}'` : `there is no command ${quoted(first)}`)
  }
  if (second === '--help' || second === '-h') return overview(group)
  const verbs = group.map(({ name }) => name.slice(first.length + 1)).join(' or ')
  if (second === undefined) throw new UsageError(`${first} must be followed by ${verbs}`)
  const command = group.find(({ name }) => name === `${first} ${second}`)
  if (command === undefined) throw new UsageError(`${first} must be followed by ${verbs}, not by ${quoted(second)}`)
  return { command, rest: args.slice(2) }
}

function helpOn(words: readonly string[]): string {
  const name = words.join(' ')
  const command = commands.find((candidate) => candidate.name === name)
  if (command !== undefined) return explain(command)
  const group = commands.filter((candidate) => candidate.name.startsWith(`${name} `))
  if (group.length === 0) throw new UsageError(`there is no command ${quoted(name)}`)
  return overview(group)
}

function overview(listed: readonly Command[]): string {
  const lines = listed.map(
    ({ name, operands = [], summary }) => `  ${[name, ...operands].join(' ').padEnd(28)} ${summary}`,
  )
  return [
    'Usage: entrepot COMMAND [options]',
    '',
    ...lines,
    '',
    'entrepot COMMAND --help explains one command. Without a command it is serve; --version tells the version.',
    '',
    'Every command reads the same settings as the server: give it the same environment (ENTREPOT_…), and run it in the',
    'same folder, as the same user. config/default.yaml lists all settings.',
    '',
  ].join('\n')
}

/** One line for what can happen to anybody, a stack for what must not. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { name, message, cause } = error
  const isExpected = [ConfigError, CommandError, RegistryError].some((kind) => error instanceof kind)
  if (isExpected || cause instanceof RegistryError) return message
  if (name.startsWith('Sequelize')) return `the database: ${message}; \`entrepot doctor\` looks closer`
  // Of the operating system: ENOSPC, EACCES, EADDRINUSE …
  if (typeof (error as NodeJS.ErrnoException).syscall === 'string') return message
  return error.stack ?? message
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 40))
}
