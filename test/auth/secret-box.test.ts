import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { SecretBox, SecretUnreadable } from '../../src/auth/secret-box.ts'
import { ConfigError } from '../../src/config/config.ts'

let dataDir: string
beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'entrepot-secrets-'))
})
afterEach(() => rm(dataDir, { recursive: true }))
const open = (secretKey = '') => SecretBox.open({ secretKey, dataDir })

describe('SecretBox', () => {
  test('makes one key for all who start at once, which nobody else may read', async () => {
    const boxes = await Promise.all(Array.from({ length: 8 }, () => open()))
    for (const box of boxes) expect(boxes[0]!.unseal(box.seal('geheim ü', 'a'), 'a')).toBe('geheim ü')
    expect(await readdir(dataDir)).toEqual(['secret-key'])
    expect((await stat(join(dataDir, 'secret-key'))).mode & 0o777).toBe(0o600)
    expect((await open()).unseal(boxes[0]!.seal('later', 'a'), 'a')).toBe('later')
  })

  test('never says the same twice, and not what it hides', async () => {
    const box = await open()
    const sealed = box.seal('a-canary', 'a')
    expect(sealed).not.toBe(box.seal('a-canary', 'a'))
    expect(Buffer.from(sealed.split('.')[1]!, 'base64url').toString('latin1')).not.toContain('a-canary')
  })

  test('opens for the purpose and with the key of the sealing alone, and nothing that was touched', async () => {
    const box = await open()
    const sealed = box.seal('text', 'webhook/1')
    const other = await open(Buffer.alloc(32, 7).toString('base64'))
    expect(() => box.unseal(sealed, 'webhook/2')).toThrow(SecretUnreadable)
    expect(() => other.unseal(sealed, 'webhook/1')).toThrow(SecretUnreadable)
    const [keyId, text] = sealed.split('.') as [string, string]
    const bytes = Buffer.from(text, 'base64url')
    for (let place = 0; place < bytes.length; place += 1) {
      const touched = Buffer.from(bytes)
      touched[place] = touched[place]! ^ 1
      expect(() => box.unseal(`${keyId}.${touched.toString('base64url')}`, 'webhook/1')).toThrow(SecretUnreadable)
    }
    for (const nonsense of ['', keyId, `${keyId}.`, `${keyId}.AAAA`]) {
      expect(() => box.unseal(nonsense, 'webhook/1')).toThrow(SecretUnreadable)
    }
  })

  test('takes the key of the configuration before that of the file', async () => {
    const key = Buffer.alloc(32, 1).toString('base64')
    expect((await open(key)).unseal(new SecretBox(Buffer.alloc(32, 1)).seal('x', 'a'), 'a')).toBe('x')
    expect(await readdir(dataDir)).toEqual([])
  })

  test('waits for a key that another server is just writing', async () => {
    const path = join(dataDir, 'secret-key')
    await writeFile(path, '')
    const opening = Promise.all([open(), open()])
    await new Promise((resolve) => setTimeout(resolve, 200))
    await writeFile(path, `${Buffer.alloc(32, 3).toString('base64')}\n`)
    const sealed = new SecretBox(Buffer.alloc(32, 3)).seal('text', 'a')
    for (const box of await opening) expect(box.unseal(sealed, 'a')).toBe('text')
  })

  test('does not start with a file that is no key, and leaves it alone', async () => {
    await writeFile(join(dataDir, 'secret-key'), 'short\n')
    await expect(open()).rejects.toThrow(ConfigError)
    expect(await readFile(join(dataDir, 'secret-key'), 'utf8')).toBe('short\n')
  })
})
