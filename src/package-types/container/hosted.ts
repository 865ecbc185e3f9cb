import type { Owner } from '../../auth/owner.ts'
import { NotFound } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { isPublicPackage } from '../../http/package-visibility.ts'
import type { Services } from '../../services.ts'
import type { Digest } from '../../storage/digest.ts'
import { findBlob } from './blobs.ts'
import { readReferrers, readTags } from './list-queries.ts'
import { findManifest } from './manifest-queries.ts'
import { CONTAINER } from './names.ts'
import { formatDigest, type Reference, requireDigest } from './path.ts'
import { toReferrer } from './referrers.ts'
import type { ContainerSource, ContentAnswer, NamePage, Page, ReferrerDescriptor, Referrers } from './source.ts'

/** Tags on one page. */
const MAX_TAGS = 10_000
/** Bytes of manifests on one page of referrers: clients read no index of more than 4 MiB. */
const MAX_REFERRERS = 3 * 1024 * 1024

/** The images that an owner has pushed here. A warm manifest or blob runs no SQL. */
export class HostedImages implements ContainerSource {
  readonly #services: Services
  readonly #owner: Owner

  constructor(services: Services, owner: Owner) {
    this.#services = services
    this.#owner = owner
  }

  async manifest(name: string, reference: Reference): Promise<ContentAnswer> {
    const { packages, db } = this.#services
    const repository = this.#repository(name)
    const text = 'tag' in reference ? reference.tag : formatDigest(reference.digest)
    const { row } = await packages.lookup.remember(repository, 'manifest', [text], async () => ({
      row: await findManifest(db, repository, reference),
    }))
    if (row === null) {
      await this.#requireRepository(name)
      throw new NotFound('manifest', text)
    }
    const { blob, mediaType, filedAt, versionId } = row
    const isPublic = await this.#isPublic(name)
    return {
      digest: 'tag' in reference ? requireDigest(row.digest) : reference.digest,
      mediaType,
      size: blob.size,
      source: async () => {
        const source = await packages.blobs.open(blob.hashSha256)
        // What the store has lost can be pushed again.
        if (source === null) throw new NotFound('manifest', text)
        return source
      },
      lastModified: filedAt,
      versionId,
      headers: {},
      cacheControl: 'tag' in reference ? cacheControl.hosted(isPublic) : cacheControl.artifact(isPublic),
    }
  }

  blob(name: string, digest: Digest, method: 'GET' | 'HEAD'): Promise<ContentAnswer> {
    return findBlob(this.#services, this.#owner, name, digest, method)
  }

  async tags(name: string, { n, last }: Page): Promise<NamePage> {
    await this.#requireRepository(name)
    const limit = Math.min(n ?? MAX_TAGS, MAX_TAGS)
    const tags = await readTags(this.#services.db, this.#repository(name), last, limit + 1)
    return { names: tags.slice(0, limit), hasMore: tags.length > limit, ...(await this.#listed(name)) }
  }

  async referrers(name: string, subject: Digest, last: string | null): Promise<Referrers> {
    const { db } = this.#services
    const digest = formatDigest(subject)
    const { rows, hasMore } = await readReferrers(db, this.#repository(name), digest, last, MAX_REFERRERS)
    const manifests: ReferrerDescriptor[] = []
    // One after the other: some are read from the store.
    for (const row of rows) manifests.push(await toReferrer(this.#services.packages.blobs, row))
    return { manifests, hasMore, ...(await this.#listed(name)) }
  }

  async #requireRepository(name: string): Promise<void> {
    const found = await this.#services.packages.lookup.findPackage(this.#owner.id, CONTAINER, name)
    if (found === null) throw new NotFound('package', `${this.#owner.name}/${name}`)
  }

  #repository(name: string) {
    return { ownerId: this.#owner.id, type: CONTAINER, name }
  }

  async #listed(name: string) {
    return { headers: {}, cacheControl: cacheControl.hosted(await this.#isPublic(name)) }
  }

  #isPublic(name: string): Promise<boolean> {
    return isPublicPackage(this.#services, this.#owner, CONTAINER, name)
  }
}
