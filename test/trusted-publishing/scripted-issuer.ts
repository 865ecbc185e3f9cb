import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'

export const AUDIENCE = 'https://packages.example.org'

/** A server that trusts issuers on this machine. */
export const environment = {
  ENTREPOT_BASE_URL: AUDIENCE,
  ENTREPOT_TRUSTED_PUBLISHING_ALLOWED_HOSTS: '127.0.0.1',
}

type Handler = (request: IncomingMessage, response: ServerResponse) => void

/** A key of an issuer; `jwk` is public. */
export interface IssuerKey {
  readonly kid: string
  readonly alg: string
  readonly jwk: JWK
  readonly key: CryptoKey
}

/** An issuer on 127.0.0.1 that signs whatever it is told, counts who asks it, and breaks on command. */
export class ScriptedIssuer {
  readonly url: string
  /** Paths that were asked for. */
  readonly requests: string[] = []
  /** What it publishes. */
  keys: IssuerKey[] = []
  /** In place of the documents; null: they are sent. */
  handler: Handler | null = null
  /** Of the discovery document, where it is not as it should be. */
  discovery: object = {}
  readonly #close: () => Promise<void>

  private constructor(url: string, close: () => Promise<void>) {
    this.url = url
    this.#close = close
  }

  static async start(): Promise<ScriptedIssuer> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const issuer = new ScriptedIssuer(`http://127.0.0.1:${(server.address() as AddressInfo).port}`, async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    })
    issuer.keys.push(await makeKey())
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      issuer.requests.push(request.url!)
      if (issuer.handler !== null) return issuer.handler(request, response)
      response.setHeader('content-type', 'application/json').end(JSON.stringify(issuer.#document(request.url!)))
    })
    return issuer
  }

  /** A good token of the job `job`, but for what is given. */
  async idToken(
    claims: Record<string, unknown> = {},
    { header = {}, key = this.keys[0]! }: { header?: object; key?: IssuerKey } = {},
  ): Promise<string> {
    const now = Math.floor(Date.now() / 1_000)
    const said = { iss: this.url, aud: AUDIENCE, sub: 'job', jti: randomUUID(), iat: now, exp: now + 300, ...claims }
    const given = Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined))
    return new SignJWT(given).setProtectedHeader({ alg: key.alg, kid: key.kid, ...header }).sign(key.key)
  }

  close(): Promise<void> {
    return this.#close()
  }

  #document(path: string): object {
    if (path === '/jwks') return { keys: this.keys.map(({ jwk }) => jwk) }
    return { issuer: this.url, jwks_uri: `${this.url}/jwks`, ...this.discovery }
  }
}

/** A key that nobody has published yet. */
export async function makeKey(alg = 'ES256', kid: string = randomUUID()): Promise<IssuerKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true })
  return { kid, alg, jwk: { ...(await exportJWK(publicKey)), kid, alg, use: 'sig' }, key: privateKey }
}
