import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** How a command ended. `code` is null when a signal ended it. */
export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  cwd: string
  env: NodeJS.ProcessEnv
  /** Answers to prompts: when what was printed since the last answer matches, the text is typed. In order. */
  answers?: readonly (readonly [prompt: RegExp, text: string])[]
  /** ms after which the command is killed; 4 minutes unless told. */
  timeout?: number
}

/** Runs a command to its end, whatever its exit code. */
export function tryRun(command: string, args: readonly string[], options: RunOptions): Promise<Outcome> {
  const { cwd, env, answers = [], timeout = 240_000 } = options
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd, env, timeout, killSignal: 'SIGKILL' })
    let stdout = ''
    let stderr = ''
    let seen = 0
    const pending = [...answers]
    const answer = (): void => {
      const next = pending[0]
      if (!next?.[0].test(stdout.slice(seen))) return
      seen = stdout.length
      pending.shift()
      child.stdin.write(next[1])
      if (pending.length === 0) child.stdin.end()
    }
    if (pending.length === 0) child.stdin.end()
    child.stdin.on('error', () => undefined)
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      answer()
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
  })
}

/** Runs a command that must succeed; the error carries all that it printed. Resolves to its standard output. */
export async function run(command: string, args: readonly string[], options: RunOptions): Promise<string> {
  const outcome = await tryRun(command, args, options)
  if (outcome.code === 0) return outcome.stdout
  throw new Error(`${describe(command, args)} ended with ${outcome.code}\n${outcome.stdout}\n${outcome.stderr}`)
}

/** Runs a command that must fail by its own exit code; resolves to all that it printed. */
export async function runFailing(command: string, args: readonly string[], options: RunOptions): Promise<string> {
  const outcome = await tryRun(command, args, options)
  if (outcome.code !== null && outcome.code !== 0) return outcome.stdout + outcome.stderr
  throw new Error(`${describe(command, args)} ended with ${outcome.code}\n${outcome.stdout}\n${outcome.stderr}`)
}

function describe(command: string, args: readonly string[]): string {
  return [command, ...args].join(' ')
}

/** A new directory below the system's temporary one, and the function that removes it. */
export async function makeTemporaryDirectory(): Promise<{ path: string; remove: () => Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'entrepot-clients-'))
  return { path, remove: () => rm(path, { recursive: true, force: true, maxRetries: 3 }) }
}

/**
 * The caller's environment without what would change how a client behaves: npm's own variables (set while `npm run`
 * runs this), the test runner's, and CI (clients freeze lock files by it).
 */
export function plainEnvironment(more: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  const unwanted =
    /^(npm_|pnpm_|yarn_|vite|vitest|entrepot_|test_|tinypool|ci$|node_env$|node_options$|init_cwd$|force_color$|prod$|dev$|mode$|ssr$)/i
  const kept = Object.entries(process.env).filter(([name]) => !unwanted.test(name))
  return { ...Object.fromEntries(kept), NO_COLOR: '1', ...more }
}
