import { ConfigError } from '../config/config.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

/** What two upstreams must not both have. */
interface Claim {
  readonly what: string
  /** Whose claims do not contradict each other. */
  readonly by: string
}

/**
 * Throws ConfigError with both files when two upstreams claim the same mirror, name, registry or host name: which of
 * them answers would depend on their order. Upstreams of several types may share an owner, and so its names.
 */
export function requireDistinct(all: readonly UpstreamSettings[]): void {
  const claimed = new Map<string, { by: string; name: string }>()
  for (const settings of all) {
    for (const { what, by } of claimsOf(settings)) {
      const first = claimed.get(what)
      if (first !== undefined && first.by !== by) {
        throw new ConfigError(`${first.name}.yaml and ${settings.name}.yaml: both have ${what}`)
      }
      claimed.set(what, { by, name: settings.name })
    }
  }
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
