import { type Static, Type } from 'typebox'
import { checkName } from '../auth/account-rules.ts'
import { ConfigError } from '../config/config.ts'
import { Unprocessable } from '../errors.ts'
import type { UpstreamAdapter } from './adapter.ts'
import { NetworkInput, readNetworkInput } from './network-settings.ts'
import { AuthInput, readAuthInput } from './upstream-auth.ts'
import { parseUpstreamUrl, toSettings, upstreamKeys } from './upstream-keys.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

const MIN_FRESH = 5_000
const MAX_FRESH = 24 * 60 * 60 * 1_000
/** Bytes of what is stored, certificates included. */
const MOST_STORED = 60_000
const NAME = /^[a-z0-9]+([-._][a-z0-9]+)*$/
const HOST = /^([a-z0-9_]([-a-z0-9_.]*[a-z0-9_])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$/

/** What an upstream is made from over REST: the keys of an upstream's file, but the secrets are given, not named. */
export const RestUpstream = Type.Object(
  { ...upstreamKeys, auth: Type.Optional(AuthInput), network: Type.Optional(NetworkInput) },
  { additionalProperties: false },
)

/** A value of RestUpstream. */
export type RestUpstream = Static<typeof RestUpstream>

/** What is changed of one; null: as if it had never been given. Its type and owner stay. */
export type UpstreamChanges = {
  [K in keyof Omit<RestUpstream, 'type' | 'owner'>]?: RestUpstream[K] | null | undefined
}

/** Those secrets that an upstream has; empty: none. They are stored in a SecretBox. */
export interface UpstreamSecrets {
  /** Password, or token for `bearer`. */
  readonly auth: string
  readonly clientKey: string
}

/** One that can be stored: its secrets are apart. */
export interface StoredUpstream {
  readonly declared: RestUpstream
  readonly secrets: UpstreamSecrets
}

/** Takes the secrets out of the input. Throws Unprocessable when password and token are given. */
export function takeSecrets(input: RestUpstream): StoredUpstream {
  const { auth, network, ...rest } = input
  if (auth?.password !== undefined && auth.token !== undefined) {
    throw new Unprocessable('auth: give a password or a token, not both', 'upstream')
  }
  const { password, token, ...shownAuth } = auth ?? ({} as NonNullable<typeof auth>)
  if (token !== undefined && auth?.kind !== 'bearer') {
    throw new Unprocessable('auth: a token is for bearer; others take a password', 'upstream')
  }
  const { clientKey, ...shownNetwork } = network ?? {}
  return {
    declared: {
      ...rest,
      ...(auth === undefined ? {} : { auth: shownAuth }),
      ...(network === undefined ? {} : { network: shownNetwork }),
    },
    secrets: { auth: password ?? token ?? '', clientKey: clientKey ?? '' },
  }
}

/**
 * What it becomes by a change. Secrets that are not given stay, but for where requests go somewhere else than those who
 * gave the secret meant: it must be given again then, or whoever may edit could read it. Throws Unprocessable.
 */
export function change(before: StoredUpstream, changes: UpstreamChanges): StoredUpstream {
  const merged = Object.fromEntries(
    Object.entries({ ...before.declared, ...changes }).filter(([, value]) => value !== null && value !== undefined),
  ) as RestUpstream
  const { declared, secrets } = takeSecrets(merged)
  const keepsAuth =
    secrets.auth === '' && declared.auth?.kind === before.declared.auth?.kind && declared.auth?.username !== undefined
  const keepsToken = secrets.auth === '' && declared.auth?.kind === 'bearer' && before.declared.auth?.kind === 'bearer'
  const keepsKey = secrets.clientKey === '' && declared.network?.clientCert !== undefined
  const kept = {
    auth: keepsAuth || keepsToken ? before.secrets.auth : '',
    clientKey: keepsKey ? before.secrets.clientKey : '',
  }
  if (`${kept.auth}${kept.clientKey}` !== '' && destinationOf(declared) !== destinationOf(before.declared)) {
    throw new Unprocessable('the secrets must be given again when they would be sent elsewhere than before', 'upstream')
  }
  return { declared, secrets: { auth: secrets.auth || kept.auth, clientKey: secrets.clientKey || kept.clientKey } }
}

/** Checks all that can be told without the database. Throws Unprocessable. */
export function readRestUpstream(
  name: string,
  stored: StoredUpstream,
  adapters: ReadonlyMap<string, UpstreamAdapter>,
  globalCa: string,
): UpstreamSettings {
  try {
    return read(name, stored, adapters, globalCa)
  } catch (error) {
    if (error instanceof ConfigError) throw new Unprocessable(error.message, 'upstream')
    throw error
  }
}

/** Throws Unprocessable for what no upstream may be called. */
export function checkUpstreamName(name: string): void {
  if (name.length <= 64 && NAME.test(name)) return
  throw new Unprocessable('[Name]: up to 64 of a-z and 0-9, with single -, . or _ between them', 'upstream')
}

/** Whether everybody but administrators is given what credentials open. */
export function exposesCredentials({ auth, network, visibility }: UpstreamSettings): boolean {
  return visibility !== 'private' && (Boolean(auth?.credentials) || Boolean(network?.clientCertificate))
}

function read(
  name: string,
  { declared, secrets }: StoredUpstream,
  adapters: ReadonlyMap<string, UpstreamAdapter>,
  globalCa: string,
): UpstreamSettings {
  const where = `upstream ${name}`
  const { type, owner, aliases = [], serves = [], hosts = [], artifactHosts = [], auth, network, url } = declared
  const adapter = adapters.get(type)
  if (adapter === undefined) throw new Unprocessable(`${where}: type: ${type} cannot be mirrored`, 'upstream')
  for (const one of [owner, ...aliases]) checkName(one)
  for (const host of [...serves, ...hosts, ...artifactHosts, ...(auth?.realmHosts ?? [])]) {
    if (!HOST.test(host.toLowerCase())) throw new ConfigError(`${where}: ${JSON.stringify(host)} is not a host`)
  }
  if (url === undefined) throw new ConfigError(`${where}: url: is missing`)
  if (Buffer.byteLength(JSON.stringify(declared)) > MOST_STORED) throw new ConfigError(`${where}: it is too long`)
  const settings = toSettings(declared, {
    ...{ name, where, adapter },
    url: parseUpstreamUrl(url, `${where}: url`),
    privateNetwork: declared.allowPrivateNetwork === true ? 'allowed' : 'refused',
    auth: auth === undefined ? null : readAuthInput(where, auth, secrets.auth),
    network:
      network === undefined && globalCa === ''
        ? null
        : readNetworkInput(where, network, { clientKey: secrets.clientKey, globalCa }),
  })
  if (settings.fresh !== null && (settings.fresh < MIN_FRESH || settings.fresh > MAX_FRESH)) {
    throw new ConfigError(`${where}: fresh: is not between 5s and 24h`)
  }
  return settings
}

/** Everything that decides who gets to see the secrets. */
function destinationOf({ url = '', auth, network }: RestUpstream): string {
  const origin = URL.canParse(url) ? new URL(url).origin : url
  const { proxy, ca, insecureTls = false } = network ?? {}
  return JSON.stringify([origin, auth?.realmHosts ?? [], proxy, ca, insecureTls])
}
