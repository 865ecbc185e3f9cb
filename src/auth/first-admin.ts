import { randomBytes } from 'node:crypto'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { checkName, checkPassword } from './account-rules.ts'
import { drawPassword, type Passwords } from './passwords.ts'

/** ENTREPOT_ADMIN_USERNAME and ENTREPOT_ADMIN_PASSWORD; empty: not given. */
export interface FirstAdminConfig {
  readonly username: string
  readonly password: string
}

/** What `createFirstAdmin` works with. */
export interface FirstAdminParts {
  readonly dataDir: string
  readonly announce: (line: string) => void
  readonly passwords: Passwords
  readonly minPasswordLength: number
  readonly hasAdmin: () => Promise<boolean>
  /** Inserts the administrator unless there is one; whether it did. */
  readonly insert: (name: string, passwordHash: string) => Promise<boolean>
}

const FILE = 'initial-admin-password'

/**
 * Makes the first administrator of a server that has none, and says so in one line. Without a name it is `admin`.
 * Without a password one is drawn, written to `<dataDir>/initial-admin-password` (mode 0600) and announced, this once;
 * no password is ever built in (security.md S17). So either setting may be given alone. A name or password that breaks
 * the rules throws and stops the start.
 *
 * Of replicas that start at once one makes the account; the others see it, announce nothing and leave no file.
 */
export async function createFirstAdmin(config: FirstAdminConfig, parts: FirstAdminParts): Promise<void> {
  if (await parts.hasAdmin()) return
  const name = config.username || 'admin'
  try {
    await create(name, config.password, parts)
  } catch (error) {
    const hint = 'see admin.username and admin.password in the configuration'
    throw new Error(`no first administrator ${name}: ${(error as Error).message}; ${hint}`, { cause: error })
  }
}

async function create(name: string, chosen: string, parts: FirstAdminParts): Promise<void> {
  checkName(name)
  if (chosen !== '') {
    checkPassword(chosen, name, parts.minPasswordLength)
    const inserted = await parts.insert(name, await parts.passwords.hash(chosen))
    if (inserted) parts.announce(`created the first administrator ${name} with the configured password`)
    return
  }
  const password = drawPassword(parts.minPasswordLength)
  const path = join(parts.dataDir, FILE)
  // Written beside its place before the account exists: a crash in between must not lock everybody out.
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  await writeFile(draft, `${password}\n`, { mode: 0o600, flag: 'wx', flush: true })
  try {
    if (!(await parts.insert(name, await parts.passwords.hash(password)))) return
    parts.announce(`created the first administrator ${name} with the password ${password} (also in ${path})`)
    await rename(draft, path)
  } finally {
    await rm(draft, { force: true })
  }
}
