import { anonymous } from '../auth/doer.ts'
import type { Owner } from '../auth/owner.ts'
import { ghost, toOrganizationJson, toUserJson } from '../json/accounts.ts'
import { toPackageJson } from '../json/packages.ts'
import { toRepositoryJson } from '../json/repositories.ts'
import type { VersionEvent } from '../packages/events.ts'
import type { RepositoryRow } from '../packages/repository.ts'

type PackageJsonParts = Parameters<typeof toPackageJson>[0]

/**
 * The body of an event, byte for byte as it is signed (gitea-model.md §9): the package as the sender sees it, without
 * `metadata`, which may be megabytes, and the sender as nobody in particular sees him.
 */
export function renderPayload(
  parts: PackageJsonParts,
  { action, owner, doer, rows }: Pick<VersionEvent, 'action' | 'owner' | 'doer' | 'rows'>,
  creator: Owner | null,
  linked: RepositoryRow | null = null,
): string {
  const viewer = { ...anonymous, user: doer }
  const { baseUrl } = parts.config
  // Whoever publishes or deletes may write the packages, and hooks are their owner's: both may know of it.
  const repository = linked === null ? null : toRepositoryJson(baseUrl, { owner, row: linked }, viewer, null)
  const payload = {
    action,
    repository: null,
    package: toPackageJson(parts, { owner, creator, ...rows, metadata: null }, viewer, repository),
    organization: owner.kind === 'organization' ? toOrganizationJson(owner, anonymous) : null,
    sender: toUserJson(doer ?? ghost, anonymous, baseUrl),
  }
  return JSON.stringify(payload, null, 2)
}

/** A package that does not exist, for tests of hooks. */
export function renderTestPayload(parts: PackageJsonParts, owner: Owner, doer: Owner, now: number): string {
  const name = 'webhook-test'
  const times = { createdAt: now, downloadCount: 0, lastDownloadedAt: 0 }
  const rows = {
    package: {
      ...{ id: 0, ownerId: owner.id, repoId: 0, type: 'generic', name, lowerName: name },
      ...{ semverCompatible: false, isInternal: false, isPrivate: false },
    },
    version: {
      ...{ id: 0, packageId: 0, creatorId: doer.id, version: '1.0.0', lowerVersion: '1.0.0', ...times },
      ...{ isInternal: false, metadataJson: 'null' },
    },
  }
  return renderPayload(parts, { action: 'created', owner, doer, rows }, doer)
}
