import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const cache = fileURLToPath(new URL('../../node_modules/.cache/entrepot-clients', import.meta.url))

/** Clients from the npm registry, by version: the file that runs each with Node. */
const packaged = {
  pnpm: { package: 'pnpm@10.34.9', file: `${cache}/node_modules/pnpm/bin/pnpm.cjs` },
  'yarn classic': { package: 'yarn@1.22.22', file: `${cache}/node_modules/yarn/bin/yarn.js` },
  'yarn berry': { package: '@yarnpkg/cli-dist@4.18.1', file: `${cache}/node_modules/@yarnpkg/cli-dist/bin/yarn.js` },
} as const

export type PackagedClient = keyof typeof packaged

/** Fetches the packaged clients into a folder that later runs find again. A registry that lacks one is no error here. */
export function installPackagedClients(): void {
  mkdirSync(cache, { recursive: true })
  for (const { package: name, file } of Object.values(packaged)) {
    if (existsSync(file)) continue
    try {
      execFileSync('npm', ['install', '--prefix', cache, '--ignore-scripts', '--no-audit', '--no-fund', name], {
        stdio: 'pipe',
        timeout: 120_000,
      })
    } catch (error) {
      console.warn(`${name} cannot be installed: ${String((error as { stderr?: Buffer }).stderr ?? error)}`)
    }
  }
}

/**
 * The file that runs a packaged client with Node; null, and a line that says so, when it is missing. In CI a missing
 * client is an error: there, a skipped test would pass for a proof.
 */
export function findPackagedClient(name: PackagedClient): string | null {
  const { file } = packaged[name]
  return existsSync(file) ? file : missing(name)
}

/** Whether a command of the system is there; the same rule in CI. */
export function hasCommand(name: string): boolean {
  try {
    execFileSync(name, ['--version'], { stdio: 'pipe' })
    return true
  } catch {
    return missing(name) !== null
  }
}

/** Whether a file or directory that a package brings is there; the same rule in CI. */
export function hasFile(path: string): boolean {
  return existsSync(path) || missing(path) !== null
}

/** Whether daemons that need root can be started; the same rule in CI. */
export function isRoot(): boolean {
  return process.getuid?.() === 0 || missing('root') !== null
}

function missing(name: string): null {
  if (process.env['CI'] === 'true') throw new Error(`${name} is missing, and CI must not skip its tests`)
  console.warn(`${name} is missing: its tests are skipped`)
  return null
}
