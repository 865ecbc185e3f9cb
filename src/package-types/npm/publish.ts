import { LRUCache } from 'lru-cache'
import type { Owner } from '../../auth/owner.ts'
import { Conflict, DigestMismatch, Invalid } from '../../errors.ts'
import type { Services } from '../../services.ts'
import { type Digests, parseIntegrity } from '../../storage/digest.ts'
import type { SpoolEntry } from '../../storage/spool.ts'
import { checkAgainstTarball, isObject, type JsonObject, type Person, toManifest } from './metadata.ts'
import { checkName, checkTag, normalizeVersion, tarballFileName } from './names.ts'
import { noReplyAddress } from './people.ts'
import type { PublishBody } from './publish-body.ts'
import { lockPackage, moveTags, README } from './queries.ts'
import { inspectTarball } from './tarball.ts'

/** npm repeats a PUT whose answer got lost; for this long the same bytes by the same user are the same publish, ms. */
const RETRY_WINDOW = 10 * 60 * 1000
/** Publishes whose answer is known to have gone out; enough for ten minutes of a busy server. */
const ANSWERED = 10_000
/** Characters of readme that are kept. */
const MAX_README = 64 * 1024

/** Where a package goes and who sends it. */
export interface PublishTarget {
  readonly owner: Owner
  readonly doer: Owner
  /** From the URL. */
  readonly name: string
  /** Whether the package, if it is new, is a private one. */
  readonly isPrivate: boolean
  /** Whether the name may be one that came from an upstream so far. */
  readonly confirmsShadow: boolean
}

/** Publishes that this process has answered: whoever sends one of these again has not missed the answer. */
export class AnsweredPublishes {
  readonly #versionIds = new LRUCache<number, true>({ max: ANSWERED })

  add(versionId: number): void {
    this.#versionIds.set(versionId, true)
  }

  has(versionId: number): boolean {
    return this.#versionIds.has(versionId)
  }
}

/** What a publish document says once its checks have passed. */
interface Release {
  readonly version: string
  /** The manifest as published. */
  readonly published: JsonObject
  readonly tags: readonly string[]
  readonly tarball: SpoolEntry
}

/**
 * Publishes the one version of a publish document: version, tarball and tags in one transaction, after every check of
 * npm.md §4 in its order; the id of the version. Errors: Invalid and DigestMismatch (400), QuotaExceeded, Conflict when
 * the version exists, unless this is the same upload once more and the first one may have gone unanswered (the
 * connection broke, the process died). The tarball stays the caller's to discard.
 */
export async function publish(
  services: Services,
  target: PublishTarget,
  body: PublishBody,
  answered: AnsweredPublishes,
): Promise<number> {
  const { db, packages } = services
  const { owner, doer, name, isPrivate, confirmsShadow } = target
  const { version, published, tags, tarball } = readRelease(name, body)
  const contents = await inspectTarball(tarball.source(), tarball.size)
  checkAgainstTarball(published, contents)
  for (const tag of tags) checkTag(tag)
  const publisher: Person = { name: doer.name, email: noReplyAddress(services.config, doer) }
  const readme = typeof published['readme'] === 'string' ? published['readme'].slice(0, MAX_README) : ''
  const filename = tarballFileName(name, version)
  try {
    const created = await packages.createPackageAndAddFile(
      {
        owner,
        type: 'npm',
        name,
        version,
        creator: doer,
        semverCompatible: true,
        isPrivate,
        confirmsShadow,
        metadata: toManifest(published, { name, version, digests: tarball.digests, contents, publisher }),
        versionProperties: readme === '' ? [] : [{ name: README, value: readme }],
      },
      { filename: filename.toLowerCase(), content: tarball, isLead: true },
      async ({ version: created, transaction }) => {
        await lockPackage(db, created.packageId, transaction)
        await moveTags(db, created, tags, transaction)
      },
    )
    return created.version.id
  } catch (error) {
    const first = error instanceof Conflict ? await findSame(services, target, version, tarball.digests) : null
    if (first === null || answered.has(first)) throw error
    return first
  }
}

function readRelease(name: string, { document, tarballs }: PublishBody): Release {
  if (!isObject(document) || !isObject(document['versions'])) throw new Invalid('there is no version', 'version')
  const versions = Object.entries(document['versions'])
  const [key, published] = versions[0] ?? []
  if (versions.length !== 1 || !isObject(published)) throw new Invalid('exactly one version is needed', 'version')
  checkName(name)
  for (const given of [document['name'] ?? name, published['name']]) {
    if (given !== name) throw new Invalid('the document is about another package than the URL', 'package')
  }
  const version = normalizeVersion(key)
  if (version === null || normalizeVersion(published['version']) !== version) {
    throw new Invalid('the version is not a semantic version, or not the one of its manifest', 'version')
  }
  const tarball = readTarball(document, tarballs)
  checkDigests(published['dist'], tarball.digests)
  return { version, published, tags: readTags(document['dist-tags'], version), tarball }
}

function readTarball(document: JsonObject, tarballs: PublishBody['tarballs']): SpoolEntry {
  const [attachment, ...others] = tarballs
  if (attachment === undefined || others.length > 0) throw new Invalid('exactly one .tgz attachment is needed', 'file')
  const [name, tarball] = attachment
  if (tarball.size === 0) throw new Invalid('the tarball is empty', 'file')
  const { length } = (document['_attachments'] as Record<string, JsonObject>)[name]!
  if (length !== undefined && length !== tarball.size) throw new Invalid('the tarball has another length', 'file')
  return tarball
}

/** The promised digest must be there and right: what is stored is what the client meant to send. */
function checkDigests(dist: unknown, digests: Digests): void {
  if (!isObject(dist)) throw new Invalid('dist is missing', 'version')
  const { integrity, shasum } = dist
  const digest = typeof integrity === 'string' ? parseIntegrity(integrity) : null
  if (digest === null) throw new Invalid('dist.integrity is missing or of an unknown kind', 'version')
  if (digests[digest.algorithm] !== digest.hex) throw new DigestMismatch('dist.integrity is not that of the tarball')
  if (shasum !== undefined && String(shasum).toLowerCase() !== digests.sha1) {
    throw new DigestMismatch('dist.shasum is not that of the tarball')
  }
}

/** The tags meant for this version; a publish moves no others (npm.md §4). */
function readTags(distTags: unknown, version: string): string[] {
  if (distTags === undefined || distTags === null) return []
  if (!isObject(distTags)) throw new Invalid('dist-tags is not an object', 'tag')
  return Object.entries(distTags).flatMap(([tag, meant]) => {
    const normal = normalizeVersion(meant)
    if (normal === null) throw new Invalid('a dist-tag does not point to a version', 'tag')
    return normal === version ? [tag] : []
  })
}

/** The id of the version if the same user has published the same bytes as it just now, else null. */
async function findSame(
  { packages, clock }: Services,
  { owner, doer, name }: PublishTarget,
  version: string,
  digests: Digests,
): Promise<number | null> {
  const found = await packages.lookup.findFile(owner.id, 'npm', name, version, tarballFileName(name, version))
  const isSame =
    found !== null &&
    found.version.creatorId === doer.id &&
    found.blob.hashSha512 === digests.sha512 &&
    clock.now() - found.version.createdAt < RETRY_WINDOW
  return isSame ? found.version.id : null
}
