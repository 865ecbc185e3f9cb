import { Restriction, type RestrictionLists } from '../../src/auth/restriction.ts'
import { Scopes } from '../../src/auth/scopes.ts'
import { buildImage, types } from './builders/image.ts'
import { buildPublication } from './builders/npm.ts'
import { FakeContainerRegistry } from './fake-container-registry.ts'
import { FakeMavenRepository } from './fake-maven-repository.ts'
import { FakeNpmRegistry } from './fake-npm-registry.ts'
import { type OpenedApp, startOpened } from './routes.ts'
import { basic } from './test-app.ts'

export const visibilities = ['public', 'limited', 'private'] as const
export type Visibility = (typeof visibilities)[number]

/** What a request is about: an account with one package of each type, and all that may hang on an account. */
export interface Place {
  readonly kind: 'org' | 'user' | 'mirror' | 'site'
  readonly visibility: Visibility
  /** The account's name. */
  readonly name: string
  /** What its packages are called, each as its type calls packages. */
  readonly package: string
  /** Whether that package is private, though it is not all that its owner has. */
  readonly isSecret: boolean
  /** Values of the parameters of routes, by their names. */
  readonly values: Readonly<Record<string, string>>
}

/** Sign-ins and tokens, by the short names of the table's columns; what they are is said in `legend`. */
export type Identity = keyof typeof legend

/** Who asks. `ann` is the user of the place, and the owner of its organization. */
export const legend = {
  anon: 'nobody',
  bob: 'a user who has nothing to do with it, by password',
  rex: 'a restricted user who has nothing to do with it, by password',
  none: 'in a team of the organization with no access to packages, by password',
  read: 'in a team that reads packages, by password',
  writ: 'in a team that writes packages, by password',
  admn: 'in a team with admin access, by password',
  ann: 'the user himself, owner of the organization, by password',
  root: 'site administrator, by password',
  rpkg: 'token of ann: read:package',
  wpkg: 'token of ann: write:package',
  rusr: 'token of ann: read:user',
  wusr: 'token of ann: write:user',
  rorg: 'token of ann: read:organization',
  worg: 'token of ann: write:organization',
  rrep: 'token of ann: read:repository',
  wrep: 'token of ann: write:repository',
  wadm: 'token of ann: write:admin',
  all: 'token of ann: all',
  pub: 'token of ann: all, public-only',
  this: 'token of ann: all, for packages of this owner only',
  pkg: 'token of ann: all, for exactly this package, of each type',
  xown: 'token of ann: all, for packages of another owner only',
  xtyp: 'token of ann: all, for packages of another type only',
  xpkg: 'token of ann: all, for another package of this owner, of each type',
  jwt: 'registry token of ann to pull this image',
  'R:rp': 'token of root: read:package',
  'R:ra': 'token of root: read:admin',
  'R:wa': 'token of root: write:admin',
  'R:pu': 'token of root: all, public-only',
  'R:th': 'token of root: all, for packages of this owner only',
  exp: 'expired token of ann: all',
  rev: 'revoked token of ann: all',
  inac: 'an owner of the organization whose account is inactive, by password',
  proh: 'an owner of the organization who may not sign in, by password',
  must: 'an owner of the organization who must change his password, by password',
} as const

export const identities = Object.keys(legend) as Identity[]

const unlimited = [
  'API_WRITES',
  'CONTAINER_TOKENS',
  'NPM_LOGINS',
  'FAILED_SIGN_INS_PER_ACCOUNT_AND_ADDRESS',
  'FAILED_SIGN_INS_PER_ADDRESS',
  'FAILED_SIGN_INS_PER_ACCOUNT',
]
const environment = {
  ...Object.fromEntries(unlimited.map((name) => [`ENTREPOT_RATE_LIMITS_${name}`, '-1'])),
  ENTREPOT_WEBHOOKS_ALLOWED_HOSTS: '127.0.0.1',
}
const PASSWORD = 'a-long-password'
const PACKAGE = 'pkg'
/** As long as the other. */
const SECRET = 'kex'
const namesOf = (name: string) => ({
  generic: name,
  npm: name,
  maven: `com.example:${name}`,
  container: `lib/${name}`,
})
const PUBLISHER = { name: 'release', issuer: 'https://issuer.example.org', claims: { sub: 'job' } }
const POLICY = { action: 'deny', type: 'npm', name: '@bad/*', reason: 'known to be bad' }
const pomOf = (name: string) =>
  `<project><modelVersion>4.0.0</modelVersion><groupId>com.example</groupId><artifactId>${name}</artifactId><version>1.0.0</version></project>`

/** One server with everything that a route may be asked about, and everybody who may ask. */
export class RightsWorld {
  readonly opened: OpenedApp
  readonly places: readonly Place[]
  readonly #close: () => Promise<void>
  /** By identity, then by place's name; a user's password is the same everywhere. */
  readonly #authorizations: ReadonlyMap<string, string>

  private constructor(
    opened: OpenedApp,
    places: Place[],
    authorizations: Map<string, string>,
    close: () => Promise<void>,
  ) {
    this.opened = opened
    this.places = places
    this.#authorizations = authorizations
    this.#close = close
  }

  static async start(): Promise<RightsWorld> {
    const upstreams = await startUpstreams()
    const opened = await startOpened({ environment, upstreams: upstreams.files })
    const builder = new WorldBuilder(opened)
    await builder.addUsers()
    for (const visibility of visibilities) {
      await builder.addAccounts(visibility)
      await builder.addMirror(visibility, upstreams.digests)
    }
    await builder.addSite()
    await builder.addIdentities()
    opened.stopsChanges = true
    return new RightsWorld(opened, builder.places, builder.authorizations, async () => {
      await opened.server.close()
      await upstreams.close()
    })
  }

  /** The Authorization header with which the identity asks about the place; undefined: none. */
  authorizationOf(identity: Identity, place: Place): string | undefined {
    if (identity === 'ann') return basic(`ann-${place.visibility}`, PASSWORD)
    return this.#authorizations.get(`${identity} ${keyOf(place)}`) ?? this.#authorizations.get(identity)
  }

  close(): Promise<void> {
    return this.#close()
  }
}

const keyOf = ({ name, package: packageName }: Place) => `${name}/${packageName}`

class WorldBuilder {
  readonly places: Place[] = []
  readonly authorizations = new Map<string, string>()
  readonly #opened: OpenedApp

  constructor(opened: OpenedApp) {
    this.#opened = opened
  }

  get #server() {
    return this.#opened.server
  }

  async addUsers(): Promise<void> {
    for (const name of ['bob', 'rex', 'none', 'read', 'writ', 'admn', 'inac', 'proh', 'must']) {
      this.authorizations.set(name, await this.#server.createUser(name, PASSWORD))
    }
    this.authorizations.set('root', this.#server.admin)
    await this.#server.createOrganization('elsewhere', this.authorizations.get('bob'))
  }

  /** A user and his organization, with everything that they can have. */
  async addAccounts(visibility: Visibility): Promise<void> {
    const user = `ann-${visibility}`
    const org = `org-${visibility}`
    const ann = await this.#server.createUser(user, PASSWORD)
    await this.#server.createOrganization(org, ann, visibility)
    const shared = await this.#addTeams(org, ann)
    for (const name of [org, user]) {
      const place = name === org ? `/orgs/${org}` : '/user'
      const rules = `${name === org ? place : `/users/${user}`}/cleanup-rules`
      await this.#make('POST', `${place}/repos`, { name: 'repo', private: true }, ann)
      if (name === org) await this.#make('PUT', `/teams/${shared['team']}/repos/${org}/repo`, undefined, ann)
      await this.#make('POST', rules, { type: 'generic', remove_days: 1000 }, ann)
      const publisher = await this.#make('POST', `${place}/trusted_publishers`, PUBLISHER, ann)
      const policy = name === org ? await this.#make('POST', `${place}/policies`, POLICY, ann) : { id: 0 }
      const token = await this.#token(user, ['read:misc'])
      const values = {
        ...shared,
        ...(await this.#addHook(place, ann)),
        token: String(token.id),
        publisher: String(publisher.id),
        policy: String(policy.id),
        username: name === org ? 'read' : user,
        owner: name,
        org: name,
      }
      const kind = name === org ? 'org' : 'user'
      await this.#addPackage({ kind, visibility, name, package: PACKAGE, isSecret: false, values }, ann)
      // Half of them show it: what is limited differs from these in no rule of its own.
      if (visibility === 'limited') continue
      await this.#addPackage({ kind, visibility, name, package: SECRET, isSecret: true, values }, ann)
    }
    await this.#make('PATCH', `/admin/users/${user}`, { login_name: user, visibility })
  }

  async #addPackage(place: Place, ann: string): Promise<void> {
    const { digest, upload } = await this.#publish(place.name, place.package, ann)
    if (place.isSecret) {
      for (const [type, name] of Object.entries(namesOf(place.package))) {
        const path = `/packages/${place.name}/${type}/${encodeURIComponent(name)}`
        await this.#make('PATCH', path, { visibility: 'private' }, ann)
      }
    }
    this.places.push({ ...place, values: { ...place.values, digest, upload, name: place.package } })
  }

  /** A mirror of each type, with what has been fetched once. */
  async addMirror(visibility: Visibility, values: Record<string, string>): Promise<void> {
    const name = `mirror-${visibility}`
    const own = { owner: name, org: name, mirror: name, type: 'npm' }
    const url = `/api/packages/${name}/npm/pkg/-/pkg-1.0.0.tgz`
    await this.#server.inject({ method: 'GET', url, headers: { authorization: this.#server.admin } })
    await this.#server.quiet()
    const place = { kind: 'mirror', visibility, name, package: PACKAGE, isSecret: false } as const
    this.places.push({ ...place, values: { ...values, ...own } })
  }

  /** The site itself, which has webhooks. */
  async addSite(): Promise<void> {
    const { id } = await this.#make('POST', '/admin/policies', POLICY)
    const values = { ...(await this.#addHook('/admin', this.#server.admin)), policy: String(id) }
    const place = { kind: 'site', visibility: 'public', name: 'site', package: PACKAGE, isSecret: false } as const
    this.places.push({ ...place, values })
  }

  async addIdentities(): Promise<void> {
    const { accounts, clock, accessTokens } = this.#server.services
    for (const place of this.places) {
      const user = `ann-${place.visibility}`
      const add = async (identity: Identity, scopes: string[], lists?: RestrictionLists, of = user) => {
        const { secret } = await this.#token(of, scopes, lists)
        this.authorizations.set(`${identity} ${keyOf(place)}`, `Bearer ${secret}`)
      }
      await add('rpkg', ['read:package'])
      await add('wpkg', ['write:package'])
      await add('rusr', ['read:user'])
      await add('wusr', ['write:user'])
      await add('rorg', ['read:organization'])
      await add('worg', ['write:organization'])
      await add('rrep', ['read:repository'])
      await add('wrep', ['write:repository'])
      await add('wadm', ['write:admin'])
      await add('all', ['all'])
      await add('pub', ['all', 'public-only'])
      await add('this', ['all'], { owners: [place.name] })
      const each = (name: (own: string) => string) =>
        Object.entries(namesOf(place.package)).map(([type, own]) => ({ owner: place.name, type, name: name(own) }))
      await add('pkg', ['all'], { packages: each((own) => own) })
      await add('xpkg', ['all'], { packages: each((own) => `${own}-other`) })
      await add('xown', ['all'], { owners: ['elsewhere'] })
      await add('xtyp', ['all'], { types: ['other'] })
      await add('R:rp', ['read:package'], undefined, 'root')
      await add('R:ra', ['read:admin'], undefined, 'root')
      await add('R:wa', ['write:admin'], undefined, 'root')
      await add('R:pu', ['all', 'public-only'], undefined, 'root')
      await add('R:th', ['all'], { owners: [place.name] }, 'root')
      await add('rev', ['all'])
      const account = (await accounts.find(user))!
      for (const token of (await accessTokens.list(account.id, { offset: 0, limit: 1 })).rows)
        await accessTokens.revoke(token)
      const ended = await accessTokens.create(account, `ended ${keyOf(place)}`, Scopes.parse(['all']), {
        expiresAt: clock.now() - 1_000,
      })
      this.authorizations.set(`exp ${keyOf(place)}`, `Bearer ${ended.secret}`)
      this.authorizations.set(`jwt ${keyOf(place)}`, await this.#registryToken(place))
    }
    await this.#make('PATCH', '/admin/users/rex', { login_name: 'rex', restricted: true })
    await this.#make('PATCH', '/admin/users/inac', { login_name: 'inac', active: false })
    await this.#make('PATCH', '/admin/users/proh', { login_name: 'proh', prohibit_login: true })
    await this.#make('PATCH', '/admin/users/must', { login_name: 'must', must_change_password: true })
  }

  async #registryToken({ name, package: packageName, visibility }: Place): Promise<string> {
    const scope = `repository:${name}/lib/${packageName}:pull`
    const url = `/v2/token?${new URLSearchParams({ service: '127.0.0.1:8080', scope })}`
    const authorization = basic(`ann-${visibility}`, PASSWORD)
    const response = await this.#server.inject({ method: 'GET', url, headers: { authorization } })
    if (response.statusCode !== 200) throw new Error(`${name}: ${response.body}`)
    return `Bearer ${(response.json() as { token: string }).token}`
  }

  async #addTeams(org: string, ann: string): Promise<Record<string, string>> {
    const teams: [name: string, more: object][] = [
      ['none', { units_map: { 'repo.packages': 'none' } }],
      ['read', { units_map: { 'repo.packages': 'read' } }],
      ['writ', { units_map: { 'repo.packages': 'write' } }],
      ['admn', { permission: 'admin' }],
    ]
    let team = ''
    for (const [name, more] of teams) {
      const { id } = await this.#make('POST', `/orgs/${org}/teams`, { name, permission: 'none', ...more }, ann)
      await this.#make('PUT', `/teams/${id}/members/${name}`, undefined, ann)
      if (name === 'read') team = String(id)
    }
    const owners = (await this.#make('GET', `/orgs/${org}/teams`, undefined, ann)) as unknown as {
      id: number
      name: string
    }[]
    const { id } = owners.find(({ name }) => name === 'Owners')!
    for (const name of ['inac', 'proh', 'must']) await this.#make('PUT', `/teams/${id}/members/${name}`, undefined, ann)
    await this.#make('PUT', `/orgs/${org}/public_members/read`, undefined, this.authorizations.get('read'))
    return { team }
  }

  async #addHook(place: string, ann: string): Promise<{ hook: string; delivery: string }> {
    // Nobody listens there.
    const config = { url: 'http://127.0.0.1:9/', content_type: 'json' }
    const { id } = await this.#make(
      'POST',
      `${place}/hooks`,
      { type: 'gitea', config, active: true, events: ['package'] },
      ann,
    )
    await this.#make('POST', `${place}/hooks/${id}/tests`, undefined, ann)
    const list = await this.#make('GET', `${place}/hooks/${id}/deliveries`, undefined, ann)
    return { hook: String(id), delivery: (list as unknown as { uuid: string }[])[0]!.uuid }
  }

  /** One package of each type, over the routes of its type; tells the image's digest and the id of an upload. */
  async #publish(owner: string, name: string, authorization: string): Promise<{ digest: string; upload: string }> {
    const send = async (
      method: 'PUT' | 'POST',
      url: string,
      payload: string | Buffer,
      type = 'application/octet-stream',
    ) => {
      const headers = { authorization, 'content-type': type }
      const response = await this.#server.inject({ method, url, headers, payload })
      if (response.statusCode >= 300) throw new Error(`${method} ${url}: ${response.statusCode} ${response.body}`)
      return response
    }
    await send('PUT', `/api/packages/${owner}/generic/${name}/1.0.0/file.txt`, 'content')
    await send('PUT', `/api/packages/${owner}/maven/com/example/${name}/1.0.0/${name}-1.0.0.pom`, pomOf(name))
    await send('PUT', `/api/packages/${owner}/maven/com/example/${name}/1.0.0/${name}-1.0.0.jar`, 'jar')
    const document = JSON.stringify(await buildPublication({ name, version: '1.0.0' }))
    await send('PUT', `/api/packages/${owner}/npm/${name}`, document, 'application/json')
    const image = buildImage({ layers: [`layer of ${owner}/${name}`] })
    for (const { digest, bytes } of image.blobs) {
      await send('POST', `/v2/${owner}/lib/${name}/blobs/uploads/?digest=${digest}`, bytes)
    }
    await send('PUT', `/v2/${owner}/lib/${name}/manifests/1.0`, image.bytes, types.manifest)
    const begun = await send('POST', `/v2/${owner}/lib/${name}/blobs/uploads/`, '')
    const upload = String(begun.headers.location).split('/').at(-1)!.split('?')[0]!
    return { digest: image.blobs.at(-1)!.digest, upload }
  }

  async #token(username: string, scopes: string[], lists?: RestrictionLists): Promise<{ id: number; secret: string }> {
    const { accounts, accessTokens } = this.#server.services
    const restriction = lists === undefined ? null : new Restriction(lists)
    const user = (await accounts.find(username))!
    const name = `token ${Math.random()}`
    const { row, secret } = await accessTokens.create(user, name, Scopes.parse(scopes), { restriction })
    return { id: row.id, secret }
  }

  async #make(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH',
    path: string,
    payload?: object,
    authorization = this.#server.admin,
  ): Promise<{ id: number }> {
    const response = await this.#server.api(method, path, payload, authorization)
    if (response.statusCode >= 300) throw new Error(`${method} ${path}: ${response.statusCode} ${response.body}`)
    return response.body === '' ? { id: 0 } : (response.json() as { id: number })
  }
}

const answer = { headers: { 'content-type': 'application/json' }, body: '{}' }

/** Registries behind the mirrors, and their files: one mirror per visibility, of all types. */
async function startUpstreams() {
  const [npm, maven, container] = await Promise.all([
    FakeNpmRegistry.start(),
    FakeMavenRepository.start(),
    FakeContainerRegistry.start(),
  ])
  await npm.publish({ name: 'pkg', version: '1.0.0' })
  maven.add('com/example/pkg/1.0.0/pkg-1.0.0.jar', 'jar')
  maven.addMetadata('com.example:pkg', ['1.0.0'])
  npm.upstream.on('/-/npm/v1/keys', answer)
  npm.upstream.on('/-/npm/v1/attestations/pkg@1.0.0', answer)
  npm.upstream.on('/-/npm/v1/attestations/@none%2Fpkg@1.0.0', answer)
  const image = container.addImage(`lib/${PACKAGE}`, '1.0')
  const files: Record<string, object> = {}
  for (const visibility of visibilities) {
    for (const [type, { url }] of Object.entries({ npm, maven, container })) {
      files[`${type}-${visibility}`] = {
        type,
        url,
        owner: `mirror-${visibility}`,
        visibility,
        allowPrivateNetwork: true,
      }
    }
  }
  const close = async () => {
    await Promise.all([npm.close(), maven.close(), container.close()])
  }
  return { files, digests: { digest: image.layer.digest, upload: 'none' }, close }
}
