import type { Decision } from '../../policies/decision.ts'
import { isObject, type JsonObject } from './metadata.ts'
import type { Packument } from './packument.ts'

/** What one of the sources has. */
export interface LoadedShare {
  readonly document: Packument
  /** By version. */
  readonly refused: ReadonlyMap<string, Decision>
}

/** Several sources' versions as one package (pull-through.md §7). */
export interface MergedPackument {
  /** With what policies refuse. */
  readonly document: Packument
  /** By version. */
  readonly refused: ReadonlyMap<string, Decision>
  /** Which of the shares a version is from. */
  readonly holders: ReadonlyMap<string, number>
  /** Versions that a later share has with other bytes, and which share that is. */
  readonly conflicts: readonly { readonly version: string; readonly other: number }[]
}

/**
 * The union of the versions: of one that several have, in whatever case, the first one's counts, also when a policy
 * refuses it. Tags are those of all, the first one's before the others'; the rest is the first one's. `shares` not
 * empty.
 */
export function mergePackuments(name: string, shares: readonly LoadedShare[]): MergedPackument {
  const versions: Record<string, JsonObject> = {}
  const times: Record<string, string> = {}
  const refused = new Map<string, Decision>()
  const holders = new Map<string, number>()
  const conflicts: { version: string; other: number }[] = []
  /** By version in lower case: whose it is, and how the first of that case is written. */
  const taken = new Map<string, { index: number; version: string }>()
  for (const [index, { document, refused: refusedHere }] of shares.entries()) {
    for (const [version, manifest] of Object.entries(document.versions)) {
      const lower = version.toLowerCase()
      const first = taken.get(lower)
      if (first !== undefined && first.index !== index) {
        if (isOther(versions[first.version]!, manifest)) conflicts.push({ version: first.version, other: index })
        continue
      }
      taken.set(lower, first ?? { index, version })
      define(versions, version, manifest)
      holders.set(version, index)
      const decision = refusedHere.get(version)
      if (decision !== undefined) refused.set(version, decision)
      const time = document.time
      if (time !== undefined && Object.hasOwn(time, version)) define(times, version, time[version]!)
    }
  }
  const [first] = shares
  const document: Packument = {
    ...first!.document,
    name,
    'dist-tags': mergeTags(shares.map(({ document }) => document)),
    versions,
    time: { ...ends(shares), ...times },
  }
  return { document, refused, holders, conflicts }
}

/** A tag names what its own source has; where an earlier one has that version too, it is that one's. */
function mergeTags(documents: readonly Packument[]): Record<string, string> {
  const tags: Record<string, string> = {}
  for (const document of documents) {
    for (const [tag, version] of Object.entries(document['dist-tags'])) {
      if (!Object.hasOwn(tags, tag)) define(tags, tag, version)
    }
  }
  return tags
}

/** When the first of the sources began and the last one changed, as far as they say so. */
function ends(shares: readonly LoadedShare[]): Record<string, string> {
  const all = (key: string) => shares.flatMap(({ document }) => document.time?.[key] ?? []).sort()
  const [created, modified] = [all('created').at(0), all('modified').at(-1)]
  return { ...(created === undefined ? {} : { created }), ...(modified === undefined ? {} : { modified }) }
}

/** Whether the published digests of two versions differ; those that cannot be compared do not. */
function isOther(one: JsonObject, other: JsonObject): boolean {
  return ['integrity', 'shasum'].some((field) => {
    const [a, b] = [one, other].map(({ dist }) => (isObject(dist) ? dist[field] : undefined))
    if (typeof a !== 'string' || typeof b !== 'string' || a === b) return false
    return field === 'shasum' || a.split('-', 1)[0] === b.split('-', 1)[0]
  })
}

/** Whatever the name is: `__proto__` is a possible tag. */
function define<T>(object: Record<string, T>, key: string, value: T): void {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true })
}
