#!/usr/bin/env node
import { migrateCommand } from './commands/migrate.ts'
import { serve } from './commands/serve.ts'
import { ConfigError } from './config/config.ts'

const COMMANDS: Record<string, { run: () => Promise<void>; help: string }> = {
  serve: { run: serve, help: 'migrate the database, then serve until SIGTERM' },
  migrate: { run: migrateCommand, help: 'bring the database schema up to date and exit' },
}

const name = process.argv[2] ?? 'serve'
const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
if (command === undefined) {
  const isAsked = name === '--help' || name === '-h' || name === 'help'
  const lines = Object.entries(COMMANDS).map(([verb, { help }]) => `  ${verb.padEnd(9)}${help}`)
  const text = [
    'Usage: entrepot <command>',
    '',
    ...lines,
    '',
    'Settings: config/default.yaml lists all of them.',
    '',
  ].join('\n')
  ;(isAsked ? process.stdout : process.stderr).write(isAsked ? text : `unknown command ${name}\n\n${text}`)
  process.exitCode = isAsked ? 0 : 2
} else {
  command.run().catch((error: unknown) => {
    process.stderr.write(
      `entrepot: ${error instanceof ConfigError ? error.message : ((error as Error).stack ?? String(error))}\n`,
    )
    process.exit(1)
  })
}
