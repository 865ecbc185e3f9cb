import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AuthParts, basic, PASSWORD } from './auth-parts.ts'

describe('the first administrator', () => {
  let parts: AuthParts
  let lines: string[]

  beforeEach(async () => {
    parts = await AuthParts.open()
    lines = []
  })
  afterEach(() => parts.close())

  const ensure = (username = '', password = '', of = parts) =>
    of.accounts.ensureFirstAdmin({ admin: { username, password } }, parts.folder, (line) => lines.push(line))
  const drafts = async () => (await readdir(parts.folder)).filter((name) => name.startsWith('initial-admin'))

  test('without settings has a random password, announced once and kept in a file for its owner only', async () => {
    await ensure()
    const path = join(parts.folder, 'initial-admin-password')
    const password = (await readFile(path, 'utf8')).trim()
    expect(password.length).toBeGreaterThanOrEqual(24)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain(password)
    const { user } = await parts.authenticator.authenticate(basic('admin', password))
    expect(user).toMatchObject({ name: 'admin', isAdmin: true, mustChangePassword: false, isActive: true })
    await ensure()
    expect(lines).toHaveLength(1)
    expect(await drafts()).toEqual(['initial-admin-password'])
  })

  test('has the configured name and password; no file, and the password is not announced', async () => {
    await ensure('root', PASSWORD)
    expect(lines).toHaveLength(1)
    expect(lines[0]).not.toContain(PASSWORD)
    expect((await parts.authenticator.authenticate(basic('root', PASSWORD))).user?.isAdmin).toBe(true)
    expect(await drafts()).toEqual([])
  })

  test('a name alone gets a random password, a password alone the name admin', async () => {
    await ensure('root')
    expect(lines[0]).toContain('administrator root with the password ')
    await parts.models.user.destroy({ where: {} })
    await ensure('', PASSWORD)
    expect(await parts.models.user.count({ where: { name: 'admin', isAdmin: true } })).toBe(1)
  })

  test('is not made where there is an administrator, whatever the settings say', async () => {
    await parts.user('boss', { isAdmin: true })
    await ensure('root', PASSWORD)
    expect([lines, await drafts()]).toEqual([[], []])
    expect(await parts.accounts.find('root')).toBeNull()
  })

  test.each([
    ['api', PASSWORD, 'reserved'],
    ['a b', PASSWORD, 'invalid'],
    ['root', 'short', 'PasswordIsRequired'],
    ['taken', PASSWORD, 'already exists'],
    ['taken', '', 'already exists'],
  ])('%s with %j stops the start and leaves nothing', async (username, password, message) => {
    await parts.user('taken')
    await expect(ensure(username, password)).rejects.toThrow(message)
    expect([lines, await drafts()]).toEqual([[], []])
    expect(await parts.models.user.count({ where: { isAdmin: true } })).toBe(0)
  })

  test('of two replicas that start at once one makes it, and its password is the one in the file', async () => {
    const replica = await parts.replica()
    await Promise.all([ensure('', '', parts), ensure('', '', replica)])
    expect(lines).toHaveLength(1)
    expect(await drafts()).toEqual(['initial-admin-password'])
    const password = (await readFile(join(parts.folder, 'initial-admin-password'), 'utf8')).trim()
    expect((await replica.authenticator.authenticate(basic('admin', password))).user?.isAdmin).toBe(true)
    expect(await parts.models.user.count()).toBe(1)
    await replica.db.close()
  })

  test('a file of an earlier life is replaced', async () => {
    const path = join(parts.folder, 'initial-admin-password')
    await writeFile(path, 'old', { mode: 0o644 })
    await ensure()
    expect(await readFile(path, 'utf8')).not.toContain('old')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })
})
