import { Op, type Transaction } from 'sequelize'
import type { AuditActor } from '../audit/entry.ts'
import type { Audit } from '../audit/index.ts'
import type { AccessTokenRow, AccessTokens } from '../auth/access-tokens.ts'
import type { Accounts } from '../auth/accounts.ts'
import { isBlocked, type Owner } from '../auth/owner.ts'
import type { SignInGuard } from '../auth/sign-in-guard.ts'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { Forbidden, Invalid, Unauthenticated } from '../errors.ts'
import type { Models } from '../models/index.ts'
import { type Claims, describeClaims, fitsRules, shorten } from './claims.ts'
import type { IdTokens, VerifiedToken } from './id-tokens.ts'
import { type PublishedPackage, type Publisher, restrictionOf, toPublisher } from './publishers.ts'

/** Rows that are looked at together. */
const BATCH = 500
/** What a publisher's issuer can be; SQL takes other texts for something else. */
const ISSUER = /^[\x21-\x7e]{1,255}$/
/** Packages that one token is limited to: a token is read at every request. */
const MOST_PACKAGES = 150

/** An id-token to be exchanged. */
export interface ExchangeRequest {
  readonly idToken: string
  /** What its audience may be. */
  readonly audiences: readonly string[]
  /** Whose publishers are asked; null: everybody's. */
  readonly owner: string | null
  /** Only publishers of this package count; null: any. */
  readonly package: PublishedPackage | null
  /** Where it comes from. */
  readonly address: string
}

/** What a job gets for its id-token. */
export interface ExchangedToken {
  readonly token: string
  /** Ms since the epoch. */
  readonly createdAt: number
  readonly expiresAt: number
  readonly owner: Owner
  /** Null: all packages of the owner. */
  readonly packages: readonly PublishedPackage[] | null
}

/** What Exchange is made from. */
export interface ExchangeParts {
  readonly db: Database
  readonly models: Models
  readonly clock: Clock
  readonly accounts: Accounts
  readonly accessTokens: AccessTokens
  readonly guard: SignInGuard
  readonly audit: Audit
}

/**
 * Turns the id-token of a CI job, once, into an access token of the owner who trusts such jobs: for the packages of the
 * publishers that fit, and as long as the shortest of them allows (security.md S8, S15).
 */
export class Exchange {
  readonly #parts: ExchangeParts & { idTokens: IdTokens }

  constructor(parts: ExchangeParts & { idTokens: IdTokens }) {
    this.#parts = parts
  }

  /**
   * Throws Unauthenticated for an id-token that cannot be used, or was; Forbidden when no publisher fits; Invalid when
   * those of several owners do; UpstreamUnavailable when the issuer's keys cannot be had; TooManyRequests for addresses
   * that send too many wrong ones. Issuers whom nobody here trusts are never contacted.
   */
  async exchange(request: ExchangeRequest): Promise<ExchangedToken> {
    try {
      return await this.#exchange(request)
    } catch (error) {
      if (error instanceof Unauthenticated) await this.#parts.guard.wrongToken(request.idToken, request.address)
      throw error
    }
  }

  /** Deletes what is known of id-tokens that have ended; returns how many. */
  async forgetEnded(): Promise<number> {
    const { db, models, clock } = this.#parts
    const where = { expiresAt: { [Op.lt]: clock.now() } }
    return db.inTransaction((transaction) => models.usedIdToken.destroy({ where, transaction }))
  }

  async #exchange(request: ExchangeRequest): Promise<ExchangedToken> {
    const { idTokens } = this.#parts
    const said = idTokens.read(request.idToken)
    if (!(await this.#isTrusted(said.iss))) throw refusal(said.iss, said)
    const idToken = await idTokens.verify(request.idToken, said.iss, request.audiences)
    const { owner, publisherIds } = await this.#findOwner(request, idToken)
    return this.#issue(request, idToken, owner, publisherIds)
  }

  async #isTrusted(issuer: string): Promise<boolean> {
    const { trustedPublisher } = this.#parts.models
    return ISSUER.test(issuer) && (await trustedPublisher.findOne({ where: { issuer }, attributes: ['id'] })) !== null
  }

  /** The one owner whose publishers fit. Owners who may not sign in, and unknown ones, have none. */
  async #findOwner(
    request: ExchangeRequest,
    idToken: VerifiedToken,
  ): Promise<{ owner: Owner; publisherIds: number[] }> {
    const { accounts } = this.#parts
    const named = request.owner === null ? null : await accounts.find(request.owner)
    if (request.owner !== null && named === null) throw refusal(idToken.issuer, idToken.claims)
    const found = new Map<number, Publisher[]>()
    for await (const publisher of this.#candidates(idToken, named)) {
      found.set(publisher.ownerId, [...(found.get(publisher.ownerId) ?? []), publisher])
    }
    const fitting: { owner: Owner; publisherIds: number[] }[] = []
    for (const [ownerId, publishers] of found) {
      const owner = await accounts.findById(ownerId)
      if (owner === null || isBlocked(owner)) continue
      const publisherIds = publishers.filter((each) => isFor(request.package, owner, each)).map(({ id }) => id)
      if (publisherIds.length > 0) fitting.push({ owner, publisherIds })
    }
    if (fitting.length > 1) throw new Invalid('publishers of several owners fit this id-token: name the owner', 'owner')
    if (fitting.length === 0) throw refusal(idToken.issuer, idToken.claims)
    return fitting[0]!
  }

  /** Publishers whose claims fit: of one owner, or of all. An issuer may have very many. */
  async *#candidates({ issuer, claims }: VerifiedToken, owner: Owner | null): AsyncGenerator<Publisher> {
    const { trustedPublisher } = this.#parts.models
    for (let after = 0; ; ) {
      const where = { issuer, id: { [Op.gt]: after }, ...(owner === null ? {} : { ownerId: owner.id }) }
      const rows = await trustedPublisher.findAll({ where, order: ['id'], limit: BATCH, raw: true })
      yield* rows.map(toPublisher).filter((publisher) => isOf(issuer, claims, publisher))
      if (rows.length < BATCH) return
      after = rows.at(-1)!.id
    }
  }

  /** All in one transaction: of parallel exchanges one wins, and who changes a publisher ends the token, or prevents it. */
  async #issue(
    request: ExchangeRequest,
    { issuer, claims, hash, forgetAt }: VerifiedToken,
    owner: Owner,
    publisherIds: number[],
  ): Promise<ExchangedToken> {
    const { db, models, clock } = this.#parts
    const { publishers, row, secret, packages } = await db.inTransaction(async (transaction) => {
      const lock = transaction.LOCK.UPDATE
      const where = { id: publisherIds, ownerId: owner.id }
      const rows = await models.trustedPublisher.findAll({ where, order: ['id'], lock, transaction })
      const publishers = rows
        .map(toPublisher)
        .filter((publisher) => isOf(issuer, claims, publisher) && isFor(request.package, owner, publisher))
      if (publishers.length === 0) throw refusal(issuer, claims)
      if ((await models.usedIdToken.findByPk(hash, { transaction })) !== null) {
        throw new Unauthenticated('the id-token has been used already', 'token')
      }
      await models.usedIdToken.create({ hash, expiresAt: forgetAt }, { transaction })
      const id = publishers.map((publisher) => publisher.id)
      await models.trustedPublisher.update({ lastUsedAt: clock.now() }, { where: { id }, transaction })
      return { publishers, ...(await this.#createToken(owner, publishers, transaction)) }
    })
    this.#record(request, owner, row, { publishers, issuer, claims })
    return { token: secret, createdAt: row.createdAt, expiresAt: row.expiresAt!, owner, packages }
  }

  async #createToken(owner: Owner, publishers: readonly Publisher[], transaction: Transaction) {
    const { accessTokens, clock } = this.#parts
    const lists = publishers.map((publisher) => publisher.packages)
    const restriction = restrictionOf(owner, lists)
    const packages = lists.includes(null) ? null : distinct(lists.flatMap((list) => list ?? []))
    if (packages !== null && packages.length > MOST_PACKAGES) {
      throw new Invalid(`the publishers that fit have more than ${MOST_PACKAGES} packages together`, 'token')
    }
    const seconds = Math.min(...publishers.map(({ lifetime }) => lifetime))
    const rights = {
      name: `publisher ${publishers.map(({ name }) => name).join(', ')}`,
      restriction,
      expiresAt: clock.now() + seconds * 1_000,
      publisherIds: publishers.map(({ id }) => id),
    }
    return { packages, ...(await accessTokens.createForJob(owner, rights, transaction)) }
  }

  #record(
    { address }: ExchangeRequest,
    owner: Owner,
    token: AccessTokenRow,
    { publishers, issuer, claims }: { publishers: readonly Publisher[]; issuer: string; claims: Claims },
  ): void {
    const actor: AuditActor = { user: owner, sudoer: null, token: { id: token.id, name: token.name }, address }
    const [sub, jti] = [claims['sub'], claims['jti']].map((text) => (typeof text === 'string' ? shorten(text) : null))
    const names = publishers.map(({ name }) => name)
    this.#parts.audit.record(actor, 'token.exchanged', { owner }, { publishers: names, issuer, sub, jti })
  }
}

/** Also where SQL takes texts for the same that are not. */
function isOf(issuer: string, claims: Claims, publisher: Publisher): boolean {
  return publisher.issuer === issuer && fitsRules(publisher.claims, claims)
}

function isFor(wanted: PublishedPackage | null, owner: Owner, { packages }: Publisher): boolean {
  return wanted === null || restrictionOf(owner, [packages]).allows(owner.lowerName, wanted.type, wanted.name)
}

function distinct(packages: readonly PublishedPackage[]): PublishedPackage[] {
  return [...new Map(packages.map((each) => [`${each.type}/${each.name}`, each])).values()]
}

/** Says what was looked at, and nothing of the publishers that there are. */
function refusal(issuer: string, claims: Claims): Forbidden {
  return new Forbidden(
    `no trusted publisher here fits this id-token: issuer ${shorten(issuer)}, ${describeClaims(claims)}`,
    'token',
  )
}
