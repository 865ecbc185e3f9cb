import { Cache } from '../../cache/cache.ts'
import type { Notices } from '../../cache/notices.ts'
import type { Database } from '../../db/connect.ts'
import type { PackageEvents } from '../../packages/events.ts'
import { MAVEN } from './coordinates.ts'
import { renderMetadata } from './hosted-document.ts'
import { type PluginEntry, renderPluginMetadata } from './metadata-xml.ts'
import { hasGroup, type PluginRow, readPlugins } from './queries.ts'
import type { DigestedDocument } from './source.ts'

/** A notice that is lost hides a change for this long, ms. */
const TTL = 60_000
const GROUPS = 20_000

/** What an owner has in a group. */
export interface Group {
  /** Names of it belong to the owner, also when nothing of them is left. */
  readonly isOurs: boolean
  /** The group's metadata; null when there are no plugins in it. */
  readonly document: DigestedDocument | null
  /** The same for who does not read private packages; the very same when none of them is a plugin. */
  readonly publicDocument: DigestedDocument | null
}

/**
 * What owners have published in groups, remembered until anything in the group changes. Nothing tells the path of a
 * group's metadata from that of an artifact's, so that this is asked for each artifact that is not there.
 */
export class HostedGroups {
  readonly #db: Database
  readonly #groups: Cache<Group>

  constructor(db: Database, notices: Notices, events: PackageEvents) {
    this.#db = db
    this.#groups = new Cache({ name: 'maven-groups', max: GROUPS, ttl: TTL }, notices)
    events.on((event) => {
      if (event.action !== 'changed' || event.type !== MAVEN) return
      this.#groups.invalidate(toKey(event.ownerId, event.lowerName.split(':', 1)[0]!))
    })
  }

  /** `group` in any case. */
  find(ownerId: number, group: string): Promise<Group> {
    return this.#groups.get(toKey(ownerId, group), async () => {
      const isOurs = await hasGroup(this.#db, ownerId, group)
      const rows = isOurs ? await readPlugins(this.#db, ownerId, group) : []
      const publicRows = rows.filter((row) => !row.package.isPrivate)
      const document = await renderPlugins(rows)
      return {
        isOurs,
        document,
        publicDocument: publicRows.length === rows.length ? document : await renderPlugins(publicRows),
      }
    })
  }
}

/** How a plugin is called, as it is kept. */
export function formatPlugin({ prefix, name }: Pick<PluginEntry, 'prefix' | 'name'>): string {
  return JSON.stringify({ prefix, name })
}

/**
 * The prefix of a plugin that nobody has told, by Maven's rule: `x-maven-plugin` and `maven-x-plugin` are `x`, anything
 * else is itself.
 */
export function defaultPrefix(artifact: string): string {
  return /^(.+)-maven-plugin$/.exec(artifact)?.[1] ?? /^maven-(.+)-plugin$/.exec(artifact)?.[1] ?? artifact
}

async function renderPlugins(rows: readonly PluginRow[]): Promise<DigestedDocument | null> {
  const plugins = rows.map((row) => toEntry(row.package.name, row.value!))
  return plugins.length === 0 ? null : renderMetadata(renderPluginMetadata(plugins))
}

function toEntry(packageName: string, value: string): PluginEntry {
  const artifactId = packageName.slice(packageName.indexOf(':') + 1)
  const { prefix, name } = JSON.parse(value) as Pick<PluginEntry, 'prefix' | 'name'>
  return { artifactId, prefix, name }
}

function toKey(ownerId: number, group: string): string {
  return `${ownerId}/${group.toLowerCase()}`
}
