import { type TOTP, URI } from 'otpauth'

/** An authenticator app that has read an `otpauth:` URL. */
export class Phone {
  readonly #totp: TOTP
  readonly #clock: { now(): number }

  constructor(url: string, clock: { now(): number }) {
    this.#totp = URI.parse(url) as TOTP
    this.#clock = clock
  }

  /** The code of now, or of so many steps of 30 s later. */
  code(steps = 0): string {
    return this.#totp.generate({ timestamp: this.#clock.now() + steps * 30_000 })
  }

  /** A code that does not count now, nor a minute before or after; another for each `seed`. */
  wrongCode(seed = 0): string {
    const right = [-3, -2, -1, 0, 1, 2, 3].map((steps) => this.code(steps))
    for (let number = seed * 10; ; number += 1) {
      const code = String(number % 1_000_000).padStart(6, '0')
      if (!right.includes(code)) return code
    }
  }
}
