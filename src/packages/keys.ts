import type { Owner } from '../auth/owner.ts'
import { Invalid } from '../errors.ts'
import type { FileNaming, PackageInfo } from './package-info.ts'

/** Length of the name columns, in characters. */
const MAX_LENGTH = 255
// Control characters, and halves of surrogate pairs, which no database stores as they are.
const FORBIDDEN = /[\u0000-\u001f\u007f\p{Surrogate}]/u

/** What rows of an upload are found by. */
export interface UploadKeys {
  readonly lowerName: string
  readonly lowerVersion: string
  readonly lowerFilename: string
  readonly compositeKey: string
}

/** Whether a row with this key may exist at all; anything else is simply not found. */
export function isPossibleKey(text: string): boolean {
  return text.length <= 2 * MAX_LENGTH && !FORBIDDEN.test(text)
}

/**
 * The normal form of a name or version (gitea-model.md §2): lower case. Names of mirrors are those of their upstream,
 * where `JSONStream` and `jsonstream` may be two packages, so they stay as they are (npm.md §1).
 */
export function toKey(owner: Owner, text: string): string {
  return owner.kind === 'mirror' ? text : text.toLowerCase()
}

/**
 * The keys of an upload. Throws Invalid for what no row can hold on every database: longer than 255 characters, blanks
 * at the ends (MariaDB compares without them), control characters. What a name may be beyond that is the slice's rule.
 */
export function uploadKeys(info: PackageInfo, file: FileNaming): UploadKeys {
  const compositeKey = file.compositeKey ?? ''
  if (compositeKey !== '') check('file key', compositeKey)
  return {
    lowerName: toKey(info.owner, check('package name', info.name)),
    lowerVersion: toKey(info.owner, check('package version', info.version)),
    lowerFilename: toKey(info.owner, check('file name', file.filename)),
    compositeKey,
  }
}

function check(what: string, text: string): string {
  if (text === '') throw new Invalid(`${what} is empty`)
  // Lower case may be longer: U+0130 becomes two characters.
  if ([...text.toLowerCase()].length > MAX_LENGTH || [...text].length > MAX_LENGTH) {
    throw new Invalid(`${what} is longer than ${MAX_LENGTH} characters`)
  }
  if (text.trim() !== text) throw new Invalid(`${what} has blanks at its ends`)
  if (FORBIDDEN.test(text)) throw new Invalid(`${what} has characters that are not allowed`)
  return text
}
