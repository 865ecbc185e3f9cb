import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair } from 'jose'

/** What the tests use of the package, which brings no types. */
interface Provider {
  callback(): RequestListener
}
type ProviderClass = new (issuer: string, configuration: object) => Provider

const SECRET = 'the-secret-of-the-job'

/**
 * A real OpenID provider on 127.0.0.1 that signs tokens for jobs: its clients are jobs, named as the subject shall be,
 * and the token's audience is the resource that is asked for.
 */
export class OidcIssuer {
  readonly url: string
  readonly #close: () => Promise<void>

  private constructor(url: string, close: () => Promise<void>) {
    this.url = url
    this.#close = close
  }

  /** `jobs`: by subject what else their tokens say. */
  static async start(jobs: Readonly<Record<string, Readonly<Record<string, unknown>>>>): Promise<OidcIssuer> {
    const name = 'oidc-provider'
    const { default: Provider } = (await import(name)) as { default: ProviderClass }
    const { privateKey } = await generateKeyPair('RS256', { extractable: true })
    const key = { ...(await exportJWK(privateKey)), kid: 'the-key', alg: 'RS256', use: 'sig' }
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const provider = new Provider(url, {
      clients: Object.keys(jobs).map((job) => ({
        ...{ client_id: job, client_secret: SECRET, token_endpoint_auth_method: 'client_secret_post' },
        ...{ grant_types: ['client_credentials'], redirect_uris: [], response_types: [] },
      })),
      jwks: { keys: [key] },
      extraTokenClaims: (_context: unknown, { clientId }: { clientId: string }) => jobs[clientId],
      features: {
        devInteractions: { enabled: false },
        clientCredentials: { enabled: true },
        resourceIndicators: {
          enabled: true,
          getResourceServerInfo: (_context: unknown, audience: string) => ({
            ...{ scope: '', audience, accessTokenTTL: 600, accessTokenFormat: 'jwt' },
            jwt: { sign: { alg: 'RS256' } },
          }),
        },
      },
    })
    server.on('request', provider.callback())
    return new OidcIssuer(url, async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    })
  }

  /** A token of the job for the audience; each has another `jti`. */
  async idToken(job: string, audience: string): Promise<string> {
    const response = await fetch(`${this.url}/token`, {
      method: 'POST',
      body: new URLSearchParams({
        ...{ grant_type: 'client_credentials', client_id: job, client_secret: SECRET, resource: audience },
      }),
    })
    const body = (await response.json()) as { access_token?: string }
    if (body.access_token === undefined) throw new Error(JSON.stringify(body))
    return body.access_token
  }

  close(): Promise<void> {
    return this.#close()
  }
}
