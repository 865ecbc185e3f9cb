import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { installPackagedClients } from './clients.ts'

/** Builds the server once, as `npm start` does, and fetches the clients. */
export default function setup(): void {
  const root = fileURLToPath(new URL('../..', import.meta.url))
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: root, stdio: 'inherit', timeout: 180_000 })
  installPackagedClients()
}
