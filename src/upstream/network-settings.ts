import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { type Static, Type } from 'typebox'
import { ConfigError } from '../config/config.ts'

const Name = () => Type.Optional(Type.String({ minLength: 1 }))

/** `network` in an upstream's file; paths are relative to that file. */
export const NetworkFile = Type.Object(
  {
    /** The URL of a proxy, or `none`; absent: as the environment says. */
    proxy: Name(),
    /** The variable that holds the proxy's URL, which may have a user and a password then. */
    proxyEnv: Name(),
    /** Certificates of authorities that are trusted besides the usual ones, PEM. */
    caFile: Name(),
    clientCertFile: Name(),
    clientKeyFile: Name(),
    /** Whoever answers is believed to be the upstream. */
    insecureTls: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)

const Pem = () => Type.Optional(Type.String({ minLength: 1, maxLength: 32_768 }))

/** `network` over REST: certificates as PEM, since no path of the server is a caller's to name. */
export const NetworkInput = Type.Object(
  {
    proxy: Type.Optional(Type.String({ minLength: 1, maxLength: 2_000 })),
    ca: Pem(),
    clientCert: Pem(),
    /** Secret: it is stored apart, encrypted. */
    clientKey: Pem(),
    insecureTls: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)

/** How an upstream is connected to (pull-through.md §6.1). */
export interface NetworkSettings {
  readonly proxy: 'environment' | 'none' | URL
  /** PEM; empty: only the usual authorities. */
  readonly ca: string
  /** PEM. */
  readonly clientCertificate: { readonly cert: string; readonly key: string } | null
  readonly insecureTls: boolean
}

/** Reads what the file names. `globalCa` is PEM, for all upstreams. Throws ConfigError, beginning with `where`. */
export async function readNetwork(
  where: string,
  directory: string,
  file: Static<typeof NetworkFile> = {},
  { environment, globalCa }: { environment: Readonly<Record<string, string | undefined>>; globalCa: string },
): Promise<NetworkSettings> {
  const { caFile, clientCertFile, clientKeyFile, insecureTls = false } = file
  const read = async (key: string, path: string | undefined): Promise<string> => {
    if (path === undefined) return ''
    return readFile(join(directory, path), 'utf8').catch((error: Error) => {
      throw new ConfigError(`${where}: network/${key}: ${error.message}`)
    })
  }
  const ca = await read('caFile', caFile)
  const cert = await read('clientCertFile', clientCertFile)
  const key = await read('clientKeyFile', clientKeyFile)
  if ((cert === '') !== (key === '')) {
    throw new ConfigError(`${where}: network: clientCertFile and clientKeyFile go together`)
  }
  checkCertificates(where, ca, cert, key)
  return {
    proxy: proxyNamed(where, file, environment),
    ca: joinPem(globalCa, ca),
    clientCertificate: cert === '' ? null : { cert, key },
    insecureTls,
  }
}

/** The same from the texts themselves, over REST; a client certificate goes with the key. Throws ConfigError as above. */
export function readNetworkInput(
  where: string,
  { proxy, ca = '', clientCert = '', insecureTls = false }: Static<typeof NetworkInput> = {},
  { clientKey, globalCa }: { clientKey: string; globalCa: string },
): NetworkSettings {
  if ((clientCert === '') !== (clientKey === '')) {
    throw new ConfigError(`${where}: network: clientCert and clientKey go together`)
  }
  if (ca !== '' && !ca.includes('-----BEGIN CERTIFICATE-----')) {
    throw new ConfigError(`${where}: network/ca: it is no certificate in PEM`)
  }
  checkCertificates(where, ca, clientCert, clientKey)
  return {
    proxy: proxyNamed(where, proxy === undefined ? {} : { proxy }, {}),
    ca: joinPem(globalCa, ca),
    clientCertificate: clientCert === '' ? null : { cert: clientCert, key: clientKey },
    insecureTls,
  }
}

/** The certificates of `mirrors.caFile`, PEM; empty without one. Throws ConfigError. */
export async function readGlobalCa(path: string): Promise<string> {
  if (path === '') return ''
  try {
    const ca = await readFile(path, 'utf8')
    createSecureContext({ ca })
    return ca
  } catch (error) {
    throw new ConfigError(`mirrors.caFile: ${(error as Error).message}`)
  }
}

function checkCertificates(where: string, ca: string, cert: string, key: string): void {
  try {
    createSecureContext({ ca: ca || undefined, cert: cert || undefined, key: key || undefined } as never)
  } catch (error) {
    throw new ConfigError(`${where}: network: the certificates cannot be used: ${(error as Error).message}`)
  }
}

function joinPem(...texts: string[]): string {
  return texts.filter((text) => text !== '').join('\n')
}

function proxyNamed(
  where: string,
  { proxy, proxyEnv }: Static<typeof NetworkFile>,
  environment: Readonly<Record<string, string | undefined>>,
): 'environment' | 'none' | URL {
  if (proxy !== undefined && proxyEnv !== undefined)
    throw new ConfigError(`${where}: network: proxy or proxyEnv, not both`)
  const text = proxyEnv === undefined ? proxy : environment[proxyEnv]
  if (text === undefined) {
    if (proxyEnv === undefined) return 'environment'
    throw new ConfigError(`${where}: network/proxyEnv: ${proxyEnv} is not set`)
  }
  if (text === 'none') return 'none'
  const url = URL.canParse(text) ? new URL(text) : null
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new ConfigError(`${where}: network/proxy: it is not an http or https URL`)
  }
  if (proxyEnv === undefined && (url.username !== '' || url.password !== '')) {
    throw new ConfigError(`${where}: network/proxy: a URL with a password is given by proxyEnv`)
  }
  return url
}
