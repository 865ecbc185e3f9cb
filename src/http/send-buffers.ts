const LARGE = 512 * 1024
const SMALL = 64 * 1024
// Beyond this many at once each answer gets a small buffer: slow clients by the thousand must not hold half a GiB.
const MAX_LARGE = 64
const KEPT = 32

const free: Record<number, Buffer[]> = { [LARGE]: [], [SMALL]: [] }
let largeInUse = 0

/** A buffer to send `bytes` (null: unknown) through: 512 KiB, or 64 KiB where that suffices or many are in use. */
export function takeBuffer(bytes: number | null): Buffer {
  const size = (bytes !== null && bytes <= SMALL) || largeInUse >= MAX_LARGE ? SMALL : LARGE
  if (size === LARGE) largeInUse += 1
  return free[size]?.pop() ?? Buffer.allocUnsafeSlow(size)
}

/** Gives a buffer back. With `reusable` false it is left to the garbage collector: something may still read from it. */
export function giveBuffer(buffer: Buffer, reusable: boolean): void {
  if (buffer.length === LARGE) largeInUse -= 1
  const list = free[buffer.length]
  if (reusable && list !== undefined && list.length < KEPT) list.push(buffer)
}
