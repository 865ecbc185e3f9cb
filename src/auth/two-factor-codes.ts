import { createHash } from 'node:crypto'
import { Secret, TOTP } from 'otpauth'

/** What every authenticator app understands; RFC 6238 with these is the default of most. */
const RULES = { algorithm: 'SHA1', digits: 6, period: 30 } as const
/** Steps that the clock of a phone may be off, to either side (RFC 6238 §5.2). */
const DRIFT = 1
/** As long as the hash (RFC 4226 §4). */
const SECRET_BYTES = 20
/** Too many to be found from their hash. */
const RECOVERY_BYTES = 10
const RECOVERY_CODES = 10
const TOTP_CODE = /^\d{6}$/
const RECOVERY_CODE = /^[a-z2-7]{16}$/

/** A code as its kind and its bare text. */
export interface OneTimeCode {
  readonly kind: 'totp' | 'recovery'
  readonly text: string
}

/** What somebody typed, with whatever spaces, hyphens and case; null: it cannot be a code. */
export function parseCode(typed: string): OneTimeCode | null {
  const text = typed.slice(0, 64).replace(/[\s-]/g, '').toLowerCase()
  if (TOTP_CODE.test(text)) return { kind: 'totp', text }
  return RECOVERY_CODE.test(text) ? { kind: 'recovery', text } : null
}

/** A new secret in base32. */
export function drawSecret(): string {
  return new Secret({ size: SECRET_BYTES }).base32
}

/** The `otpauth:` URL that an authenticator app reads, mostly as a QR code. */
export function toEnrolmentUrl(secret: string, account: string, issuer: string): string {
  return new TOTP({ ...RULES, secret, issuer, label: account }).toString()
}

/** The number of the step, since the epoch, that a time in ms lies in. */
export function stepAt(now: number): number {
  return TOTP.counter({ period: RULES.period, timestamp: now })
}

/** The step whose code this is, of those that count now (ms since the epoch); null: of none (RFC 6238 §4). */
export function findStep(secret: string, digits: string, now: number): number | null {
  const totp = new TOTP({ ...RULES, secret })
  const delta = totp.validate({ token: digits, timestamp: now, window: DRIFT })
  return delta === null ? null : stepAt(now) + delta
}

/** Codes for the day the phone is lost, as they are shown: `abcd-efgh-ijkl-mnop`. */
export function drawRecoveryCodes(): string[] {
  return Array.from({ length: RECOVERY_CODES }, () => {
    const text = new Secret({ size: RECOVERY_BYTES }).base32.toLowerCase()
    return text.match(/.{4}/g)!.join('-')
  })
}

/** SHA-256 of a user's recovery code, lower-case hex. Of 80 random bits nobody finds the code by its hash. */
export function hashRecoveryCode(userId: number, text: string): string {
  return createHash('sha256').update(`recovery code\0${userId}\0${text}`).digest('hex')
}
