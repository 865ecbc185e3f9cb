import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'
import { open, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Config, ConfigError } from '../config/config.ts'

const KEY_BYTES = 32
/** ms for which a server waits for the one that is writing the key, and between two looks. */
const PATIENCE = 5_000
const LOOK = 50
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
    return new SecretBox(
      secretKey === '' ? await readOrMakeKey(secretKeyFile(dataDir)) : Buffer.from(secretKey, 'base64'),
    )
  }

  /** `<key id>.<iv, ciphertext and tag in base64url>`; opens for the same `purpose` only, so rows cannot be swapped. */
  seal(text: string, purpose: string): string {
    const iv = randomBytes(IV_BYTES)
    const cipher = createCipheriv(ALGORITHM, this.#key, iv).setAAD(Buffer.from(purpose))
    const sealed = Buffer.concat([iv, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
    return `${this.#keyId}.${sealed.toString('base64url')}`
  }

  /** Whether a text was sealed with this key. */
  hasSealed(sealed: string): boolean {
    return sealed.startsWith(`${this.#keyId}.`)
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

/** Where the key is that no setting gives. */
export function secretKeyFile(dataDir: string): string {
  return join(dataDir, 'secret-key')
}

/** The 32 bytes of the file; null: there is none. Throws ConfigError when it holds something else. */
export async function readSecretKey(path: string): Promise<Buffer | null> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null
    throw error
  })
  if (text === null) return null
  const key = Buffer.from(text, 'base64')
  if (key.length !== KEY_BYTES)
    throw new ConfigError(
      `${path}: is not a key of ${KEY_BYTES} bytes in base64; remove it if it was cut off when it was made`,
    )
  return key
}

/**
 * Of servers that start at once with one data directory the one that makes the file writes the key, and the others wait
 * for it. Without hard links or renames: not every file system has the former, and the latter replaces what is there.
 */
async function readOrMakeKey(path: string): Promise<Buffer> {
  const key = randomBytes(KEY_BYTES)
  const file = await open(path, 'wx', 0o600).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'EEXIST') return null
    throw error
  })
  if (file === null) return waitForKey(path)
  try {
    await file.writeFile(`${key.toString('base64')}\n`)
    await file.sync()
  } finally {
    await file.close()
  }
  await syncFolder(dirname(path))
  return key
}

/** A file that stays short was left by a server that was killed while it made it; what it sealed was nothing. */
async function waitForKey(path: string): Promise<Buffer> {
  for (let waited = 0; ; waited += LOOK) {
    try {
      const key = await readSecretKey(path)
      if (key !== null) return key
    } catch (error) {
      if (waited >= PATIENCE) throw error
    }
    if (waited >= PATIENCE) throw new ConfigError(`${path}: cannot be made and is not there`)
    await sleep(LOOK)
  }
}

/** A file that was made is on disk only when its folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  await folder.sync().finally(() => folder.close())
}
