import { randomBytes } from 'node:crypto'
import { hash, verify } from '@node-rs/argon2'
import { Overloaded } from '../errors.ts'

/** One check is some 20 MiB and 10 to 100 ms of a thread that file reads need too. */
const CONCURRENT = 2
/** About ten seconds of checks; whoever comes later is told to come back. */
const WAITING = 200

/** A password that nobody guesses, of at least so many characters. */
export function drawPassword(minLength: number): string {
  return randomBytes(18).toString('base64url').padEnd(minLength, '.')
}

/** Hashes and checks passwords with Argon2id, a few at a time (security.md S18). */
export class Passwords {
  #running = 0
  readonly #waiting: (() => void)[] = []
  #decoy: Promise<string> | null = null

  /** The hash as PHC text, with its own salt and parameters. Throws Overloaded while too many wait. */
  async hash(password: string): Promise<string> {
    return this.#inTurn(() => hash(password))
  }

  /**
   * Whether the password belongs to the hash. An empty hash (an unknown user, or one without a password) never
   * matches and takes as long as a real one, so that time does not tell who exists. Throws Overloaded.
   */
  async verify(stored: string, password: string): Promise<boolean> {
    if (stored !== '') return this.#inTurn(() => verify(stored, password))
    this.#decoy ??= hash('a password that nobody has')
    const decoy = await this.#decoy
    await this.#inTurn(() => verify(decoy, password))
    return false
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running < CONCURRENT) this.#running += 1
    else {
      if (this.#waiting.length >= WAITING) throw new Overloaded('too many sign-ins at once, try again soon')
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve)
      })
    }
    try {
      return await work()
    } finally {
      const next = this.#waiting.shift()
      if (next === undefined) this.#running -= 1
      else next()
    }
  }
}
