import type { Owner } from '../../auth/owner.ts'
import type { Config } from '../../config/config.ts'

/** The address shown for a user in documents that others read: packuments are public, addresses are not. */
export function noReplyAddress({ baseUrl }: Config, { lowerName }: Owner): string {
  return `${lowerName}@noreply.${new URL(baseUrl).hostname}`
}
