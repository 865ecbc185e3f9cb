import type { Decision } from '../../policies/decision.ts'
import { isObject, type JsonObject } from './metadata.ts'
import type { Packument } from './packument.ts'
import { isOlder, isStable, sortVersions } from './version-ranges.ts'

/** Versions whose reasons the message has room for. */
const MOST_REASONS = 10

/**
 * A document without the versions that a policy refuses (npm.md §3.2, pull-through.md §8.3). npm ranks those in
 * `policyRestrictions` last, and says its message when nothing else fits.
 */
export function restrictPackument(document: Packument, refused: ReadonlyMap<string, Decision>): Packument {
  if (refused.size === 0) return document
  const { time, versions } = document
  return {
    ...document,
    'dist-tags': restrictTags(document, refused),
    versions: without(versions, refused),
    ...(time === undefined ? {} : { time: without(time, refused) }),
    policyRestrictions: restrictionsOf(document, refused),
  }
}

/**
 * The tags that still have something to name: `latest` goes back to the newest stable version that is served, others
 * to the newest version before theirs, and all to what is pinned.
 */
export function restrictTags(document: Packument, refused: ReadonlyMap<string, Decision>): Record<string, string> {
  const tags = Object.entries(document['dist-tags'])
  if (!tags.some(([, version]) => refused.has(version))) return document['dist-tags']
  const served = sortVersions(Object.keys(document.versions).filter((version) => !refused.has(version)))
  return Object.fromEntries(
    tags.flatMap(([tag, version]) => {
      const decision = refused.get(version)
      const target = decision === undefined ? version : findTarget(tag, version, decision, served)
      return target === undefined ? [] : [[tag, target]]
    }),
  )
}

/** `served`: newest first. */
function findTarget(tag: string, version: string, { rule }: Decision, served: readonly string[]): string | undefined {
  const before = served.find((one) => isOlder(one, version) && (tag !== 'latest' || isStable(one)))
  return before ?? (rule?.action === 'pin' ? served[0] : undefined)
}

function restrictionsOf({ name, policyRestrictions }: Packument, refused: ReadonlyMap<string, Decision>): JsonObject {
  const theirs = isObject(policyRestrictions) ? policyRestrictions : {}
  const newest = sortVersions(refused.keys())
  const reasons = newest.slice(0, MOST_REASONS).map((version) => refused.get(version)!.reason!)
  const more = newest.length - reasons.length
  return {
    message: [
      ...(typeof theirs['message'] === 'string' ? [theirs['message']] : []),
      ...reasons,
      ...(more > 0 ? [`and ${more} more versions are not served`] : []),
    ].join('\n'),
    versions: {
      ...(isObject(theirs['versions']) ? theirs['versions'] : {}),
      ...Object.fromEntries(newest.map((version) => [version, { name, version }])),
    },
  }
}

function without<T>(all: Readonly<Record<string, T>>, refused: ReadonlyMap<string, Decision>): Record<string, T> {
  return Object.fromEntries(Object.entries(all).filter(([version]) => !refused.has(version)))
}
