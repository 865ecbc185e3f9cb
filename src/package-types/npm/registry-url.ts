import { dirname, join } from 'node:path'
import Config from '@npmcli/config'
import settings from '@npmcli/config/lib/definitions/index.js'

/**
 * The registry that npm on this host is configured to use: what `npm config get registry` prints here, with npm's own
 * reading of environment, project, user, global and built-in settings. Its credentials are not taken over: whoever may
 * read the mirror could read what they open.
 */
export async function configuredRegistry(): Promise<string> {
  const config = new Config({
    // Where npm lies beside this Node; its built-in npmrc is how distributions set defaults.
    npmPath: join(dirname(process.execPath), '..', 'lib', 'node_modules', 'npm'),
    definitions: settings.definitions,
    flatten: settings.flatten,
    shorthands: settings.shorthands,
    argv: [],
    env: { ...process.env },
    warn: false,
  })
  await config.load()
  return String(config.get('registry'))
}
