import { createHmac, randomBytes } from 'node:crypto'
import type { Clock } from '../clock.ts'
import { Unauthenticated } from '../errors.ts'
import type { Owner } from './owner.ts'
import type { SignInGuard } from './sign-in-guard.ts'
import { needsCode, type TwoFactor } from './two-factor.ts'
import { stepAt } from './two-factor-codes.ts'

/** What comes with a password. */
export interface Proof {
  readonly address: string
  /** The one-time code; null: none was sent. */
  readonly code: string | null
  /** The same request has shown the account's password before, and this code, which is used up by that. */
  readonly hasCode?: boolean
}

/** A recovery code that was used up. */
export interface UsedRecoveryCode {
  readonly account: Owner
  readonly address: string
  /** How many there are yet. */
  readonly left: number
}

/**
 * Asks those whose password was right for their one-time code, each time: nothing is remembered of it. Guesses are slowed
 * down at their address as those of passwords are, and for the account everywhere (two-factor.ts).
 */
export class TwoFactorCheck {
  readonly #parts: {
    twoFactor: TwoFactor
    guard: SignInGuard
    clock: Clock
    onRecoveryCode: (used: UsedRecoveryCode) => void
  }
  /** Of this process alone, as what it hides. */
  readonly #key = randomBytes(32)
  /** By credential: what is being looked at. */
  readonly #running = new Map<string, Promise<boolean>>()

  /** `onRecoveryCode` hears of each that was used. */
  constructor(parts: {
    twoFactor: TwoFactor
    guard: SignInGuard
    clock: Clock
    onRecoveryCode: (used: UsedRecoveryCode) => void
  }) {
    this.#parts = parts
  }

  /**
   * Since when the account needs a code, ms since the epoch; null: it does not. Uses the code up. Throws Unauthenticated
   * ('one-time-code') for a missing or wrong one, TooManyRequests after too many wrong ones; a missing one is none.
   */
  async check(account: Owner, { address, code, hasCode = false }: Proof): Promise<number | null> {
    const { twoFactor, clock } = this.#parts
    const since = await twoFactor.confirmedAt(account.id)
    if (since === null || hasCode) return since
    if (code === null) throw needsCode()
    // Good for the step only: the same digits may be right later.
    const attempted = `${account.id}\0${since}\0${stepAt(clock.now())}\0${code}`
    const credential = createHmac('sha256', this.#key).update(attempted).digest('hex')
    const running = this.#running.get(credential)
    if (running !== undefined) {
      // A fleet with one code: it is for the first of them, and if it is wrong that is one guess.
      await running
      throw wrongCode()
    }
    const using = this.#use(account, code, address, credential).finally(() => this.#running.delete(credential))
    this.#running.set(credential, using)
    return (await using) ? since : null
  }

  /** False: the account has just ceased to need one. */
  async #use(account: Owner, code: string, address: string, credential: string): Promise<boolean> {
    const { twoFactor, guard, onRecoveryCode } = this.#parts
    if (guard.isKnownWrong(credential)) throw wrongCode()
    const attempt = await guard.admit({ username: account.lowerName, account, address, credential, isCode: true })
    const redemption = await twoFactor.redeem(account.id, code).catch((error: unknown) => {
      attempt.dropped()
      throw error
    })
    if (redemption.outcome === 'refused') return attempt.refused(redemption.wait)
    if (redemption.outcome === 'wrong') {
      await attempt.failed()
      throw wrongCode()
    }
    await attempt.succeeded()
    if (redemption.outcome === 'recovery') onRecoveryCode({ account, address, left: redemption.left })
    return redemption.outcome !== 'not-needed'
  }
}

function wrongCode(): Unauthenticated {
  return new Unauthenticated('the one-time code is wrong, or was used before', 'one-time-code')
}
