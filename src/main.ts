#!/usr/bin/env node
import { runCommandLine } from './commands/command-line.ts'

// Whoever reads may leave early (`entrepot doctor | head`); that is no failure of ours.
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {})

const code = await runCommandLine(process.argv.slice(2), {
  environment: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
})
// What failed may have left something open; a server that has started is to run on.
if (code !== 0) process.exit(code)
