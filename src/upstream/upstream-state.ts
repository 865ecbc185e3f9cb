import type { OriginState, UpstreamClient } from './client.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

/** Whether an upstream is asked; `blocked` also keeps what is held to itself (pull-through.md §3.4). */
export type UpstreamMode = 'online' | 'offline' | 'blocked'

/** What administrators see of an upstream; never a secret. */
export interface UpstreamState {
  readonly name: string
  readonly type: string
  readonly owner: string
  readonly url: string
  readonly mode: UpstreamMode
  /** Where it is declared: in its file, or over REST. */
  readonly origin: 'file' | 'rest'
  /** Why it is not at work; null: it is. */
  readonly problem: string | null
  readonly origins: OriginState[]
  /** null while it is not at work. */
  readonly settings: ShownSettings | null
}

/** Settings as they are given, with the defaults of what is not; `fresh` as a duration, null for that of the type. */
export interface ShownSettings {
  readonly aliases: string[]
  readonly serves: string[]
  readonly hosts: string[]
  readonly artifactHosts: string[]
  readonly allowPrivateNetwork: boolean
  readonly fresh: string | null
  /** Bytes; null: no limit. */
  readonly capBytes: number | null
  readonly unusedDays: number
  readonly trust: UpstreamSettings['trust']
  readonly visibility: UpstreamSettings['visibility']
  readonly options: Record<string, unknown>
  /** `username` is shown of what was made over REST only: elsewhere it comes from the environment. */
  readonly auth: { kind: string; username?: string; hasSecret: boolean; realmHosts: string[] } | null
  readonly network: { proxy: string; hasClientCertificate: boolean; insecureTls: boolean } | null
}

/** The state of an upstream at work. */
export function describe({
  settings,
  mode,
  origin,
  client,
}: Pick<UpstreamState, 'mode' | 'origin'> & { settings: UpstreamSettings; client: UpstreamClient }): UpstreamState {
  const { name, type, owner, url } = settings
  const origins = client.states()
  return { name, type, owner, url: url.href, mode, origin, problem: null, origins, settings: show(settings) }
}

function show(settings: UpstreamSettings): ShownSettings {
  const { aliases, serves, hosts, artifactHosts, privateNetwork, fresh, auth, network } = settings
  const { capBytes, unusedDays, trust, visibility, options } = settings
  return {
    aliases: [...aliases],
    serves: [...serves],
    hosts: [...hosts],
    artifactHosts: [...artifactHosts],
    allowPrivateNetwork: privateNetwork === 'allowed',
    fresh: fresh === null ? null : fresh % 1_000 === 0 ? `${fresh / 1_000}s` : `${fresh}ms`,
    ...{ capBytes, unusedDays, trust, visibility },
    options: { ...options },
    auth: auth && {
      kind: auth.kind,
      ...(auth.username === undefined ? {} : { username: auth.username }),
      hasSecret: auth.credentials !== null,
      realmHosts: [...auth.realmHosts],
    },
    network: network
      ? {
          // A proxy from the environment may come with a password.
          proxy: network.proxy instanceof URL ? network.proxy.origin : network.proxy,
          hasClientCertificate: network.clientCertificate !== null,
          insecureTls: network.insecureTls,
        }
      : null,
  }
}
