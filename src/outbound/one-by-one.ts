import type { AddressGuard } from './address-guard.ts'

/** Names that may wait to be looked up. */
const MOST_LOOKUPS = 16

/**
 * Look-ups cannot be given up, and each holds one of the few threads that mirrors need too: whoever has the server call
 * names that nobody answers for keeps one of them busy, and no more.
 */
export function oneByOne(lookup: AddressGuard['lookup']): AddressGuard['lookup'] {
  let waiting = 0
  let last: Promise<void> = Promise.resolve()
  return (host, options, callback) => {
    if (waiting >= MOST_LOOKUPS) {
      callback(Object.assign(new Error('too many names are being looked up'), { code: 'EAI_AGAIN' }), [])
      return
    }
    waiting += 1
    last = last.then(
      () =>
        new Promise((done) => {
          lookup(host, options, (...answer) => {
            waiting -= 1
            done()
            callback(...answer)
          })
        }),
    )
  }
}
