import { ConfigError } from '../config/config.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

/** What two upstreams must not both have. */
interface Claim {
  readonly what: string
  /** Whose claims do not contradict each other. */
  readonly by: string
}

/** What two upstreams both have that only one may, and whose they are, in the order given. */
export interface Clash {
  readonly first: UpstreamSettings
  readonly second: UpstreamSettings
  readonly what: string
}

/**
 * Throws ConfigError with both files when two upstreams claim the same mirror, name, registry or host name: which of
 * them answers would depend on their order. Upstreams of several types may share an owner, and so its names.
 */
export function requireDistinct(all: readonly UpstreamSettings[]): void {
  const clash = findClash(all)
  if (clash === null) return
  throw new ConfigError(`${clash.first.name}.yaml and ${clash.second.name}.yaml: both have ${clash.what}`)
}

/** The first clash, or null. */
export function findClash(all: readonly UpstreamSettings[]): Clash | null {
  const claimed = new Map<string, { by: string; settings: UpstreamSettings }>()
  for (const settings of all) {
    for (const { what, by } of claimsOf(settings)) {
      const first = claimed.get(what)
      if (first !== undefined && first.by !== by) return { first: first.settings, second: settings, what }
      claimed.set(what, { by, settings })
    }
  }
  return null
}

function claimsOf({ name, type, owner, aliases, serves, hosts }: UpstreamSettings): Claim[] {
  const lowerOwner = owner.toLowerCase()
  return [
    { what: `the owner ${lowerOwner} for type ${type}`, by: name },
    ...[lowerOwner, ...aliases].map((alias) => ({ what: `the name ${alias}`, by: lowerOwner })),
    ...serves.map((host) => ({ what: `${host} in serves for type ${type}`, by: name })),
    ...hosts.map((host) => ({ what: `${host} in hosts for type ${type}`, by: name })),
  ]
}
