import { drawPassword } from '../auth/passwords.ts'
import { Invalid } from '../errors.ts'
import type { CommandInput, CommandOption } from './command.ts'
import { CommandError, type Terminal, UsageError } from './terminal.ts'

/** Longer ones cannot sign in. */
const MAX_LENGTH = 255

/** How a password is given; never as an argument, which everybody on the host can read. */
export const passwordOptions: Readonly<Record<string, CommandOption>> = {
  'password-stdin': { help: 'take the password from standard input, where it is the only line' },
  'random-password': { help: 'draw a password and print it, alone, to standard output' },
  'must-change-password': { help: 'the user can do nothing before the password is changed' },
}

/** Whether one is to be drawn or comes on standard input. Throws UsageError when that was not said. */
export function requirePasswordSource(input: CommandInput): 'random' | 'stdin' {
  const isRandom = input.has('random-password')
  if (isRandom !== input.has('password-stdin')) return isRandom ? 'random' : 'stdin'
  throw new UsageError(
    isRandom
      ? '--password-stdin and --random-password exclude each other'
      : 'the password is missing: give --password-stdin or --random-password',
  )
}

/** The password. Throws CommandError for what cannot be one. */
export async function readPassword(
  source: 'random' | 'stdin',
  { stdin }: Terminal,
  minLength: number,
): Promise<string> {
  if (source === 'random') return drawPassword(minLength)
  const password = await readLine(stdin)
  if (password === '') throw new CommandError('no password came on standard input')
  if (password.length > MAX_LENGTH) throw new CommandError(`a password has at most ${MAX_LENGTH} characters`)
  return password
}

/** Says in words what REST says in Gitea's one word. */
export async function explainingPasswords<T>(minLength: number, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof Invalid)) throw error
    if (error.message === 'PasswordIsRequired') {
      throw new CommandError(`a password has at least ${minLength} characters (auth.minPasswordLength)`, {
        cause: error,
      })
    }
    if (error.message === 'PasswordComplexity') {
      throw new CommandError('a password is neither the name of the user nor one character again and again', {
        cause: error,
      })
    }
    throw error
  }
}

async function readLine(stdin: Terminal['stdin']): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stdin) {
    const bytes = Buffer.from(chunk)
    chunks.push(bytes)
    size += bytes.length
    // More than any password has bytes.
    if (size > 8 * MAX_LENGTH) throw new CommandError(`a password has at most ${MAX_LENGTH} characters`)
  }
  const text = decode(Buffer.concat(chunks)).replace(/\r?\n$/, '')
  if (/[\r\n\0]/.test(text)) throw new CommandError('a password is one line of text')
  return text
}

function decode(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (error) {
    throw new CommandError('the password is not UTF-8', { cause: error })
  }
}
