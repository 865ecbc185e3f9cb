import { Cache } from '../cache/cache.ts'
import type { Notices } from '../cache/notices.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { Conflict, NotFound, Unauthenticated, Unprocessable } from '../errors.ts'
import type { Models } from '../models/index.ts'
import type { TwoFactorRow } from '../models/two-factor.ts'
import type { Owner } from './owner.ts'
import type { SecretBox } from './secret-box.ts'
import {
  drawRecoveryCodes,
  drawSecret,
  findStep,
  hashRecoveryCode,
  type OneTimeCode,
  parseCode,
  toEnrolmentUrl,
} from './two-factor-codes.ts'

/** ms until one wrong code is forgiven. */
const PENALTY = 3_600_000
/** Wrong codes that may be unforgiven; with as many none is looked at. */
const WRONG_CODES = 10

/**
 * What became of a code: it was good, as a recovery code of which so many are `left`, or not at all; or the account
 * needs none any more; or it was not looked at, and none will be for `wait` ms.
 */
export type Redemption =
  | { readonly outcome: 'good' | 'wrong' | 'not-needed' }
  | { readonly outcome: 'recovery'; readonly left: number }
  | { readonly outcome: 'refused'; readonly wait: number }

/** What a user may know of his second factor; times in ms since the epoch. */
export interface TwoFactorState {
  readonly createdAt: number
  readonly confirmedAt: number | null
  readonly recoveryCodesLeft: number
}

/**
 * The second factor of passwords: codes of an authenticator app (RFC 6238) and recovery codes, each good once, wherever
 * and however often at once it is shown. Who knows the password has a million codes to guess: ten wrong ones are free,
 * then one an hour is looked at, whatever the address, because the row itself counts.
 */
export class TwoFactor {
  readonly #parts: { db: Database; models: Models; clock: Clock; box: SecretBox; issuer: string }
  readonly #confirmed: Cache<{ at: number | null }>

  /** `issuer` tells users which of their codes is for this server; without a colon. */
  constructor(parts: {
    db: Database
    models: Models
    notices: Notices
    clock: Clock
    box: SecretBox
    issuer: string
  }) {
    this.#parts = parts
    // As long as an account is believed: a notice from another replica may get lost.
    this.#confirmed = new Cache({ name: 'two-factor', max: 20_000, ttl: 30_000 }, parts.notices)
  }

  /** Since when the user's password needs a code beside it, ms since the epoch; null: it does not. No SQL when warm. */
  async confirmedAt(userId: number): Promise<number | null> {
    const { at } = await this.#confirmed.get(String(userId), async () => {
      const row = await this.#parts.models.twoFactor.findByPk(userId, { attributes: ['confirmedAt'] })
      return { at: row?.confirmedAt ?? null }
    })
    return at
  }

  /** Null: the user has not begun. */
  async describe(userId: number): Promise<TwoFactorState | null> {
    const row = await this.#parts.models.twoFactor.findByPk(userId)
    if (row === null) return null
    const { createdAt, confirmedAt } = row
    return { createdAt, confirmedAt, recoveryCodesLeft: hashesOf(row).length }
  }

  /**
   * A secret for the user's app, shown this once, in base32 and as `otpauth:` URL. It changes nothing until it is
   * confirmed, and replaces one that was not. Conflict when there is one that was.
   */
  async enrol(user: Owner): Promise<{ secret: string; url: string }> {
    const { db, models, clock, box, issuer } = this.#parts
    const secret = drawSecret()
    await db.inTransaction(async (transaction) => {
      const lock = transaction.LOCK.UPDATE
      // Who is just deleting the account comes before or not at all.
      const account = await models.user.findByPk(user.id, { attributes: ['id'], lock, transaction })
      if (account === null) throw new NotFound('user', user.name)
      const row = await models.twoFactor.findByPk(user.id, { lock, transaction })
      requireUnconfirmed(row)
      await row?.destroy({ transaction })
      const sealedSecret = box.seal(secret, purposeOf(user.id))
      const fresh = { lastStep: 0, recoveryHashes: '', penaltyUntil: 0, createdAt: clock.now(), confirmedAt: null }
      await models.twoFactor.create({ userId: user.id, sealedSecret, ...fresh }, { transaction })
    })
    return { secret, url: toEnrolmentUrl(secret, user.name, issuer) }
  }

  /**
   * From now on the password needs a code beside it: the user has shown with one that he can make them. Returns the
   * recovery codes, which nobody can have again. Unprocessable for a wrong code or without a secret, Conflict when it
   * was confirmed before.
   */
  async confirm(user: Owner, typed: string): Promise<string[]> {
    const { db, models, clock } = this.#parts
    const code = parseCode(typed)
    const recoveryCodes = drawRecoveryCodes()
    const recoveryHashes = recoveryCodes.map((shown) => hashRecoveryCode(user.id, parseCode(shown)!.text)).join()
    await db.inTransaction(async (transaction) => {
      const row = await models.twoFactor.findByPk(user.id, { lock: transaction.LOCK.UPDATE, transaction })
      if (row === null) throw new Unprocessable('ask for a secret first', 'one-time-code')
      requireUnconfirmed(row)
      const lastStep = code?.kind === 'totp' ? findStep(this.#secretOf(row), code.text, clock.now()) : null
      if (lastStep === null) throw new Unprocessable('the one-time code is wrong', 'one-time-code')
      await row.update({ lastStep, recoveryHashes, confirmedAt: clock.now() }, { transaction })
    })
    this.#confirmed.invalidate(String(user.id))
    return recoveryCodes
  }

  /** Uses a code up. Of parallel calls with one code, on any replica, one finds it good. */
  async redeem(userId: number, typed: string): Promise<Redemption> {
    const { db, models, clock } = this.#parts
    const code = parseCode(typed)
    return db.inTransaction(async (transaction) => {
      const row = await models.twoFactor.findByPk(userId, { lock: transaction.LOCK.UPDATE, transaction })
      if (row === null || row.confirmedAt === null) return { outcome: 'not-needed' }
      const now = clock.now()
      // Never further than a clock that was right can have moved it.
      const until = Math.min(Math.max(row.penaltyUntil, now), now + WRONG_CODES * PENALTY)
      const wait = until + PENALTY - (now + WRONG_CODES * PENALTY)
      if (wait > 0) return { outcome: 'refused', wait }
      const found = code === null ? null : this.#find(row, code, now)
      if (found === null) {
        await row.update({ penaltyUntil: until + PENALTY }, { transaction })
        return { outcome: 'wrong' }
      }
      // It was right once: no guess, and no good.
      if (found.lastStep !== undefined && found.lastStep <= row.lastStep) return { outcome: 'wrong' }
      await row.update(found, { transaction })
      return code!.kind === 'totp' ? { outcome: 'good' } : { outcome: 'recovery', left: hashesOf(row).length }
    })
  }

  /**
   * From now on the password is enough; false: it was already. With `hasCode` false it throws Unauthenticated when there
   * is something to lose.
   */
  async remove(userId: number, { hasCode }: { hasCode: boolean }): Promise<boolean> {
    const { db, models } = this.#parts
    const isRemoved = await db.inTransaction(async (transaction) => {
      const row = await models.twoFactor.findByPk(userId, { lock: transaction.LOCK.UPDATE, transaction })
      if (row === null) return false
      if (row.confirmedAt !== null && !hasCode) throw needsCode()
      await row.destroy({ transaction })
      return true
    })
    this.#confirmed.invalidate(String(userId))
    return isRemoved
  }

  /** What the code changes in the row; null: it is no code of the user. */
  #find(row: TwoFactorRow, code: OneTimeCode, now: number): { lastStep?: number; recoveryHashes?: string } | null {
    if (code.kind === 'totp') {
      const lastStep = findStep(this.#secretOf(row), code.text, now)
      return lastStep === null ? null : { lastStep }
    }
    const hash = hashRecoveryCode(row.userId, code.text)
    const hashes = hashesOf(row)
    return hashes.includes(hash) ? { recoveryHashes: hashes.filter((other) => other !== hash).join() } : null
  }

  #secretOf({ userId, sealedSecret }: TwoFactorRow): string {
    return this.#parts.box.unseal(sealedSecret, purposeOf(userId))
  }
}

/** A right password that is not enough. Clients that can ask their user for a code do so. */
export function needsCode(): Unauthenticated {
  return new Unauthenticated(
    'this account needs a one-time code (X-Gitea-OTP), or an access token in place of the password',
    'one-time-code',
  )
}

function requireUnconfirmed(row: TwoFactorRow | null): void {
  if (row !== null && row.confirmedAt !== null) {
    throw new Conflict('one-time-code', 'two-factor authentication is enabled already')
  }
}

function hashesOf({ recoveryHashes }: TwoFactorRow): string[] {
  return recoveryHashes === '' ? [] : recoveryHashes.split(',')
}

function purposeOf(userId: number): string {
  return `two-factor ${userId}`
}
