import { anonymous, type Doer } from '../../auth/doer.ts'
import type { Owner } from '../../auth/owner.ts'
import { findRefusal } from '../../http/access.ts'
import type { Services } from '../../services.ts'
import type { Digest } from '../../storage/digest.ts'
import { findRepositoriesOf, findRepositoryBlob } from './blob-queries.ts'
import { fileExistingBlob, type PushTarget } from './blobs.ts'
import { CONTAINER } from './names.ts'
import { formatDigest } from './path.ts'
import { canonicalRepository } from './repository.ts'

/** Repositories that are looked at when the client names none. */
const MAX_CANDIDATES = 50

/** A repository that may have the blob. */
interface Candidate {
  readonly owner: Owner
  readonly type: string
  readonly name: string
}

/**
 * Files a blob that another repository has, `from` (`<owner>/<name>`), or any if that is null. False, and nothing has
 * changed, when none has it that the doer may pull from (container.md §4): bytes that are stored for others must not
 * be had for their digest. A registry token that does not name a repository opens it no more than it is to everybody.
 */
export async function mountBlob(
  services: Services,
  doer: Doer,
  target: PushTarget,
  digest: Digest,
  from: string | null,
): Promise<boolean> {
  const named = from === null ? null : await canonicalRepository(services, '', from)
  const candidates =
    from === null ? await findCandidates(services, digest, target.owner) : named === null ? [] : [named]
  for (const candidate of candidates) {
    if (!(await mayPull(services, doer, candidate)) || (await isRefused(services, candidate, target, digest))) continue
    const { owner, name } = candidate
    const blob = await findRepositoryBlob(services.db, { ownerId: owner.id, name }, digest)
    if (blob !== null && (await fileExistingBlob(services, target, blob))) return true
  }
  return false
}

async function mayPull(services: Services, doer: Doer, candidate: Candidate): Promise<boolean> {
  // What an administrator has closed stays closed by this way too.
  if (services.upstream.forOwner(candidate.owner.id, CONTAINER)?.mode === 'blocked') return false
  for (const one of [doer, anonymous]) {
    if ((await findRefusal(services, one, candidate, 'read')) === null) return true
  }
  return false
}

/** What a policy refuses cannot be had by taking it from the mirror that holds it (security.md S28). */
async function isRefused(
  { upstream: engine, policies }: Services,
  { owner, name }: Candidate,
  target: PushTarget,
  digest: Digest,
): Promise<boolean> {
  const upstream = engine.forOwner(owner.id, CONTAINER)
  if (upstream === null) return false
  const policy = await policies.of({
    ...{ type: CONTAINER, name, upstream: { id: upstream.id, isTrusted: upstream.settings.trust === 'trusted' } },
    organizationId: target.owner.kind === 'organization' ? target.owner.id : null,
  })
  // What a digest names has no age.
  return policy !== null && policy.decide(formatDigest(digest), 0).verdict === 'refused'
}

async function findCandidates({ db, accounts }: Services, digest: Digest, first: Owner): Promise<Candidate[]> {
  const repositories = await findRepositoriesOf(db, digest, first.id, MAX_CANDIDATES)
  const candidates = await Promise.all(
    repositories.map(async ({ ownerId, name }) => ({ owner: await accounts.findById(ownerId), type: CONTAINER, name })),
  )
  return candidates.flatMap(({ owner, ...rest }) => (owner === null ? [] : [{ owner, ...rest }]))
}
