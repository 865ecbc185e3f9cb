import type { UpstreamSettings } from '../../src/upstream/upstream-settings.ts'

/** What the file of an upstream at this URL would make, private addresses allowed. */
export function settingsOf(url: string, changes: Partial<UpstreamSettings> = {}): UpstreamSettings {
  return {
    name: 'probe',
    type: 'probe',
    owner: 'probe',
    aliases: [],
    url: new URL(url),
    serves: [],
    hosts: [],
    artifactHosts: [],
    privateNetwork: 'allowed',
    fresh: null,
    capBytes: null,
    unusedDays: 90,
    trust: 'untrusted',
    options: {},
    auth: null,
    visibility: 'public',
    ...changes,
  }
}
