import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import { link, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type Config, ConfigError } from '../config/config.ts'

const FILE = 'secret-key'
const KEY_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16
const ALGORITHM = 'aes-256-gcm'

/** What was sealed cannot be opened: with another key, for another purpose, or not by us. */
export class SecretUnreadable extends Error {}

/**
 * Encrypts the secrets that must be kept in the database as they are (AES-256-GCM), so that who reads the database
 * alone does not have them. The key is `secretKey`, else the file `secret-key` of the data directory.
 */
export class SecretBox {
  readonly #key: Buffer
  readonly #keyId: string

  /** `key`: 32 bytes. */
  constructor(key: Buffer) {
    this.#key = key
    this.#keyId = createHash('sha256').update(key).digest('hex').slice(0, 8)
  }

  /** Makes the key at the first start. Throws ConfigError when the file holds none. */
  static async open({ secretKey, dataDir }: Pick<Config, 'secretKey' | 'dataDir'>): Promise<SecretBox> {
    return new SecretBox(secretKey === '' ? await readOrMakeKey(join(dataDir, FILE)) : Buffer.from(secretKey, 'base64'))
  }

  /** `<key id>.<iv, ciphertext and tag in base64url>`; opens for the same `purpose` only, so rows cannot be swapped. */
  seal(text: string, purpose: string): string {
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv(ALGORITHM, this.#key, iv).setAAD(Buffer.from(purpose))
    const sealed = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
    return `${this.#keyId}.${sealed.toString('base64url')}`
  }

  /** Throws SecretUnreadable. */
  unseal(sealed: string, purpose: string): string {
    const [keyId, text = ''] = sealed.split('.')
    if (keyId !== this.#keyId) throw new SecretUnreadable('it was encrypted with another key than this server has')
    const bytes = Buffer.from(text, 'base64url')
    if (bytes.length < IV_BYTES + TAG_BYTES) throw new SecretUnreadable('it is damaged')
    const decipher = createDecipheriv(ALGORITHM, this.#key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
      .setAAD(Buffer.from(purpose))
      .setAuthTag(bytes.subarray(-TAG_BYTES))
    try {
      return decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8')
    } catch (error) {
      throw new SecretUnreadable('it is damaged', { cause: error })
    }
  }
}

/** Of servers that start at once with one data directory one makes the key, and all read it. */
async function readOrMakeKey(path: string): Promise<Buffer> {
  const held = await readKey(path)
  if (held !== null) return held
  const draft = `${path}.${randomBytes(6).toString('hex')}`
  await writeFile(draft, `${randomBytes(KEY_BYTES).toString('base64')}\n`, { mode: 0o600, flag: 'wx', flush: true })
  try {
    await link(draft, path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  } finally {
    await rm(draft, { force: true })
  }
  return (await readKey(path))!
}

async function readKey(path: string): Promise<Buffer | null> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (text === null) return null
  const key = Buffer.from(text, 'base64')
  if (key.length !== KEY_BYTES) throw new ConfigError(`${path}: is not a key of ${KEY_BYTES} bytes in base64`)
  return key
}
