import type { Visibility } from '../auth/owner.ts'
import type { NetworkSettings } from './network-settings.ts'
import type { UpstreamAuth } from './upstream-auth.ts'

/** One declared upstream. */
export interface UpstreamSettings {
  /** The file's name without `.yaml`. */
  readonly name: string
  readonly type: string
  /** Name of the mirror owner that serves it. */
  readonly owner: string
  /** Other names of that owner, lower case. */
  readonly aliases: readonly string[]
  /** Ends with a slash. */
  readonly url: URL
  /** Registry hosts whose content this is, as containerd's `ns` names them, lower case. */
  readonly serves: readonly string[]
  /** Host names of ours under whose root this mirror answers, lower case. */
  readonly hosts: readonly string[]
  /** Other hosts that documents of this upstream may point to. */
  readonly artifactHosts: readonly string[]
  /** Every address may be contacted, or none of the private ones but, with `origin`, the upstream's own. */
  readonly privateNetwork: 'allowed' | 'origin' | 'refused'
  /** ms that a document is served without asking; null: the default. */
  readonly fresh: number | null
  /** Bytes that its files may take; null: as many as there is room for. */
  readonly capBytes: number | null
  /** Files that nobody has read for so many days are dropped; 0: none. */
  readonly unusedDays: number
  /** Policies may leave out upstreams that are trusted (pull-through.md §8.1). */
  readonly trust: 'untrusted' | 'trusted'
  /** absent: directly, or through the proxy of the environment, with the usual certificates. */
  readonly network?: NetworkSettings
  /** What only upstreams of this type have; it passed the adapter's schema. */
  readonly options: Readonly<Record<string, unknown>>
  /** null: requests are not signed, except by tokens that anybody gets. */
  readonly auth: UpstreamAuth | null
  /** Who may read the mirror; what credentials open is private unless the file says otherwise. */
  readonly visibility: Visibility
}
