import type { Owner } from '../auth/owner.ts'
import type { Notices } from '../cache/notices.ts'
import type { PackageRow, VersionRow } from './package-info.ts'

/** What happened, after it was committed. */
export type PackageEvent = VersionEvent | ShadowEvent | ChangeEvent | FileRemovedEvent

/** A hosted version came or went (gitea-model.md §9). Not sent for mirrors, and only where it happened. */
export interface VersionEvent {
  readonly action: 'created' | 'deleted'
  readonly owner: Owner
  readonly type: string
  readonly name: string
  readonly version: string
  readonly doer: Owner | null
  /** The rows as they were committed, or were before; what was counted meanwhile is missing. */
  readonly rows: { readonly package: PackageRow; readonly version: VersionRow }
}

/** A name that came from an upstream became the owner's own by a confirmed publish. Only sent where it happened. */
export interface ShadowEvent {
  readonly action: 'shadowed'
  readonly owner: Owner
  readonly type: string
  readonly name: string
  /** Its name. */
  readonly upstream: string
  readonly doer: Owner | null
}

/** Anything of a package changed: what was rendered from its rows is out of date. Reaches all replicas. */
export interface ChangeEvent {
  readonly action: 'changed'
  readonly ownerId: number
  readonly type: string
  readonly lowerName: string
}

/** A file row is gone, so its id answers for nothing any more. Reaches all replicas. */
export interface FileRemovedEvent {
  readonly action: 'file-removed'
  readonly fileId: number
}

type Listener = (event: PackageEvent) => void

const TOPIC = 'package-events'

/** Tells the rest of the server what happened to packages. */
export class PackageEvents {
  readonly #listeners: Listener[] = []
  readonly #notices: Notices
  readonly #onError: (error: unknown, message: string) => void

  constructor(notices: Notices, onError: (error: unknown, message: string) => void) {
    this.#notices = notices
    this.#onError = onError
    notices.subscribe(TOPIC, (key) => this.#tell(JSON.parse(key) as ChangeEvent | FileRemovedEvent))
  }

  /** Calls `listener` with every event from now on, at once and in order; it must not wait for anything. */
  on(listener: Listener): void {
    this.#listeners.push(listener)
  }

  /** To be called after the commit. Never throws: what is committed has happened, whatever a listener makes of it. */
  emit(event: PackageEvent): void {
    this.#tell(event)
    if (event.action === 'changed' || event.action === 'file-removed')
      this.#notices.publish(TOPIC, JSON.stringify(event))
  }

  #tell(event: PackageEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event)
      } catch (error) {
        this.#onError(error, `a listener of package events failed at ${event.action}`)
      }
    }
  }
}
