import { Readable } from 'node:stream'
import { runCommandLine } from '../../src/commands/command-line.ts'
import type { TestApp } from '../support/test-app.ts'

/** How a command ended. */
export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** Runs one command line in this process, with an environment that is exactly the given one. */
export async function runCommand(
  args: readonly string[],
  environment: NodeJS.ProcessEnv,
  { stdin = '', isTTY = false }: { stdin?: string | Buffer; isTTY?: boolean } = {},
): Promise<Outcome> {
  const written = { stdout: '', stderr: '' }
  const output = (name: 'stdout' | 'stderr') => ({
    isTTY,
    columns: 100,
    write: (text: string) => {
      written[name] += text
    },
  })
  const code = await runCommandLine(args, {
    environment,
    stdin: Readable.from([Buffer.from(stdin)]),
    stdout: output('stdout'),
    stderr: output('stderr'),
  })
  return { code, ...written }
}

/** The environment of a command that works beside this server. */
export function beside({ services: { config } }: TestApp): NodeJS.ProcessEnv {
  return {
    ENTREPOT_DATA_DIR: config.dataDir,
    ENTREPOT_UPSTREAMS_DIR: config.upstreamsDir,
    ENTREPOT_DATABASE_URL: config.database.url,
    ENTREPOT_REDIS_URL: config.redis.url,
  }
}
