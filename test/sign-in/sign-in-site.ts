import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TestApp, type TestAppOptions } from '../support/test-app.ts'
import { Browser, type Shown } from './browser.ts'
import { OidcServer } from './oidc-server.ts'

export const baseUrl = 'http://packages.test'

/** A server with one identity provider, `corp`, and what people do there. */
export class SignInSite {
  readonly app: TestApp
  readonly oidc: OidcServer
  readonly #directory: string
  readonly #environment: Record<string, string>

  private constructor(app: TestApp, oidc: OidcServer, directory: string, environment: Record<string, string>) {
    this.app = app
    this.oidc = oidc
    this.#directory = directory
    this.#environment = environment
  }

  /** `provider`: more settings of `corp`; `others`: more providers; `settings`: more of the whole configuration. */
  static async start({
    provider = {},
    others = () => ({}),
    settings = {},
    ...options
  }: {
    provider?: object
    others?: (oidc: OidcServer) => object
    settings?: object
  } & Omit<TestAppOptions, 'environment'> = {}): Promise<SignInSite> {
    const names = ['corp', 'other']
    const oidc = await OidcServer.start(names.map((name) => `${baseUrl}/login/oidc/${name}/callback`))
    const directory = await mkdtemp(join(tmpdir(), 'entrepot-sign-in-'))
    const path = join(directory, 'config.yaml')
    const corp = {
      title: 'Corp <SSO>',
      issuer: oidc.issuer,
      clientId: oidc.client.id,
      clientSecretEnv: 'CORP_SECRET',
      createAccounts: true,
      ...provider,
    }
    const more = others(oidc)
    await writeFile(path, JSON.stringify({ ...settings, baseUrl, signIn: { providers: { corp, ...more } } }))
    const environment = { ENTREPOT_CONFIG: path, CORP_SECRET: oidc.client.secret }
    const app = await TestApp.start({ ...options, environment })
    return new SignInSite(app, oidc, directory, environment)
  }

  /** Another server on the same database. */
  async startReplica(more: Record<string, string> = {}): Promise<TestApp> {
    const { database } = this.app.services.config
    return TestApp.start({
      dataDir: this.app.dataDir,
      databaseUrl: database.url,
      environment: { ...this.#environment, ...more },
    })
  }

  browser(): Browser {
    return new Browser(this.app, baseUrl)
  }

  /** Somebody whom the provider knows goes through it; what he sees in the end. */
  async signIn(sub: string, claims: Record<string, unknown>, browser = this.browser()): Promise<Shown> {
    this.oidc.people.set(sub, claims)
    this.oidc.current = sub
    return browser.open(`${baseUrl}/login/oidc/corp`)
  }

  /** Signs in and makes a token; its secret. */
  async makeToken(sub: string, claims: Record<string, unknown>, rights = 'all'): Promise<string> {
    const browser = this.browser()
    await this.signIn(sub, claims, browser)
    const name = `token ${Math.random()}`
    const page = await browser.submit(`${baseUrl}/login/token`, { name, rights, lifetime: String(86_400_000) })
    return secretOf(page)
  }

  async close(): Promise<void> {
    await this.app.close()
    await this.oidc.close()
    await rm(this.#directory, { recursive: true, force: true })
  }
}

/** The token that a page shows. */
export function secretOf({ status, body }: Shown): string {
  const secret = /<pre>([0-9a-f]{40})<\/pre>/.exec(body)?.[1]
  if (secret === undefined) throw new Error(`no token on the page (${status}): ${body}`)
  return secret
}
