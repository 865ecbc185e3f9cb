import type { Readable } from 'node:stream'
import type { Owner } from '../auth/owner.ts'
import { QuotaExceeded, TooLarge } from '../errors.ts'
import type { Spool, SpoolEntry } from '../storage/spool.ts'
import type { Quota } from './quota.ts'

/** Whose upload it is, to whom it goes, and what it is a file of. */
export interface UploadTarget {
  readonly creator: Owner | null
  readonly owner: Owner
  readonly type: string
}

/**
 * The bytes of a file to be. `length` is the Content-Length, null where none was sent. QuotaExceeded as early as it is
 * known that they are too many, with the same reason whether the size was announced or not; Invalid for a body that
 * breaks off.
 */
export async function receiveUpload(
  { spool, quota }: { spool: Spool; quota: Quota },
  { creator, owner, type }: UploadTarget,
  body: Readable,
  length: number | null,
): Promise<SpoolEntry> {
  const { limit, limitMessage } = await quota.room(creator, owner, type)
  if (length !== null && length > limit) {
    // Where several limits are exceeded, this knows which comes first (gitea-model.md §7).
    await quota.checkFile(creator, owner, type, length, null)
    throw new QuotaExceeded(limitMessage)
  }
  try {
    return await spool.receive(body, { limit, limitMessage })
  } catch (error) {
    if (error instanceof TooLarge) throw new QuotaExceeded(limitMessage, 'body', error)
    throw error
  }
}
