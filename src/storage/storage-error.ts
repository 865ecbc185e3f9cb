import { InsufficientStorage } from '../errors.ts'

/** What a failing write means to the caller: InsufficientStorage for a full disk or quota, else the error itself. */
export function storageError(error: unknown): Error {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new InsufficientStorage('no space left to store this', 'body', error)
  }
  return error instanceof Error ? error : new Error(String(error))
}
