import { makeNoise } from './packages.js'

/** Bytes of tarballs: most are small, as in life. */
const SIZES = [2_000, 5_000, 8_000, 12_000, 20_000, 40_000, 90_000, 400_000, 1_500_000, 6_000_000]

/** The one version of every package. */
export const VERSION = '1.0.0'

/**
 * The name of the nth package.
 *
 * @param {number} n
 */
export function nameOf(n) {
  return `storm-${n}`
}

/**
 * The tarball of the package with that name; null: there is none.
 *
 * @param {string} name
 */
export function makeTarball(name) {
  const n = /^storm-(\d{1,4})$/.exec(name)?.[1]
  return n === undefined ? null : makeNoise(name, SIZES[Number(n) % SIZES.length] ?? 0)
}
