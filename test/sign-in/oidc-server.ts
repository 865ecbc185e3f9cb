import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
// @ts-expect-error the package brings no types
import OidcProvider from 'oidc-provider'

/** What is used of the package. */
interface Provider {
  readonly Grant: new (about: object) => { addOIDCScope(scope: string): void; save(): Promise<string> }
  callback(): (request: IncomingMessage, response: ServerResponse) => Promise<void>
  interactionFinished(request: IncomingMessage, response: ServerResponse, result: object): Promise<void>
}
interface GrantContext {
  readonly oidc: { readonly client: { clientId: string }; readonly session: { accountId: string } }
}

const CLIENT = { id: 'entrepot', secret: 'a-client-secret-0123456789' } as const

/** What the provider says of somebody besides `sub`. */
export type PersonClaims = Record<string, unknown>

/** A real OpenID Connect provider on 127.0.0.1 whose users sign in by being named in `current`. */
export class OidcServer {
  readonly client = CLIENT
  readonly issuer: string
  /** By `sub`. */
  readonly people = new Map<string, PersonClaims>()
  /** Who signs in next; null: nobody, the request is turned down. */
  current: string | null = null
  /** Sees each request before the provider; true: it has answered, or never will. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean = () => false
  /** Paths that were asked for. */
  readonly asked: string[] = []
  readonly #server: Server

  private constructor(server: Server, redirectUris: string[]) {
    this.#server = server
    this.issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const provider = this.#makeProvider(redirectUris)
    const answer = provider.callback()
    server.on('request', (request, response) => {
      this.asked.push(request.url!.split('?')[0]!)
      if (this.intercept(request, response)) return
      if (request.url!.startsWith('/interaction/')) void this.#interact(provider, request, response)
      else void answer(request, response)
    })
  }

  /** `redirectUris` are those of the one client. */
  static async start(redirectUris: string[]): Promise<OidcServer> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new OidcServer(server, redirectUris)
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve))
  }

  #makeProvider(redirectUris: string[]): Provider {
    const provider: Provider = new OidcProvider(this.issuer, {
      clients: [{ client_id: CLIENT.id, client_secret: CLIENT.secret, redirect_uris: redirectUris }],
      cookies: { keys: ['a key of the test'] },
      claims: {
        openid: ['sub'],
        profile: ['preferred_username', 'name', 'groups'],
        email: ['email', 'email_verified'],
      },
      features: { devInteractions: { enabled: false } },
      pkce: { required: () => true },
      interactions: { url: (_context: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
      findAccount: (_context: unknown, sub: string) => ({
        accountId: sub,
        claims: async () => ({ sub, ...this.people.get(sub) }),
      }),
      // Nobody is asked for consent.
      loadExistingGrant: async (context: GrantContext) => {
        const { client, session } = context.oidc
        const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId })
        grant.addOIDCScope('openid profile email')
        await grant.save()
        return grant
      },
    })
    return provider
  }

  async #interact(provider: Provider, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const result = this.current === null ? { error: 'access_denied' } : { login: { accountId: this.current } }
    await provider.interactionFinished(request, response, result)
  }
}
