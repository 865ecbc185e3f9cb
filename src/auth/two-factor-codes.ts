import { createHash, randomInt } from 'node:crypto'
import { Secret, TOTP } from 'otpauth'

/** What every authenticator app understands; RFC 6238 with these is the default of most. */
const RULES = { algorithm: 'SHA1', digits: 6, period: 30 } as const
/** Steps that the clock of a phone may be off, to either side (RFC 6238 §5.2). */
const DRIFT = 1
/** As long as the hash (RFC 4226 §4). */
const SECRET_BYTES = 20
/** 66 bits: too many to be found from their hash. npm's prompt takes nothing but digits and spaces (npm 11.19.1). */
const RECOVERY_DIGITS = 20
const RECOVERY_CODES = 10
const TOTP_CODE = /^\d{6}$/
const RECOVERY_CODE = /^\d{20}$/

/** A code as its kind and its bare text. */
export interface OneTimeCode {
  readonly kind: 'totp' | 'recovery'
  readonly text: string
}

/** What somebody typed, with whatever spaces and hyphens; null: it cannot be a code. */
export function parseCode(typed: string): OneTimeCode | null {
  const text = typed.slice(0, 64).replace(/[\s-]/g, '')
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

/** Codes for the day the phone is lost, as they are shown: `01234 56789 01234 56789`. */
export function drawRecoveryCodes(): string[] {
  return Array.from({ length: RECOVERY_CODES }, () => {
    const digits = Array.from({ length: RECOVERY_DIGITS }, () => randomInt(10)).join('')
    return digits.match(/.{5}/g)!.join(' ')
  })
}

/** SHA-256 of a user's recovery code, lower-case hex. */
export function hashRecoveryCode(userId: number, text: string): string {
  return createHash('sha256').update(`recovery code\0${userId}\0${text}`).digest('hex')
}
