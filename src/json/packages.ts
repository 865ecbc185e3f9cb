import { type Static, Type } from 'typebox'
import type { Doer } from '../auth/authenticator.ts'
import type { Config } from '../config/config.ts'
import type { PackageDescriptor } from '../packages/package-info.ts'
import type { UpstreamEngine } from '../upstream/index.ts'
import { ghost, toUserJson, UserSchema } from './accounts.ts'
import { type RepositoryJson, RepositorySchema } from './repositories.ts'
import { formatTime, formatTimeOrNever } from './time.ts'

/** Gitea's Package, which is a version (rest-api.md §3), and whether it is cached (pull-through.md §1.3). */
export const PackageSchema = Type.Object(
  {
    id: Type.Integer(),
    owner: UserSchema,
    repository: Type.Union([RepositorySchema, Type.Null()]),
    creator: UserSchema,
    type: Type.String(),
    name: Type.String(),
    version: Type.String(),
    visibility: Type.Enum(['public', 'limited', 'private'], {
      description: 'Who may read the package: as the owner is, or private by itself.',
    }),
    html_url: Type.String(),
    created_at: Type.String(),
    origin: Type.Enum(['hosted', 'cached']),
    upstream: Type.Union([Type.String(), Type.Null()]),
    last_downloaded_at: Type.String(),
    metadata: Type.Optional(
      Type.Unknown({ description: 'What the type knows of the version; absent where nothing is.' }),
    ),
  },
  { title: 'Package' },
)

/** Gitea's PackageFile. */
export const PackageFileSchema = Type.Object(
  {
    id: Type.Integer(),
    size: Type.Integer(),
    name: Type.String(),
    md5: Type.String(),
    sha1: Type.String(),
    sha256: Type.String(),
    sha512: Type.String(),
  },
  { title: 'PackageFile' },
)

/**
 * A version as the viewer may see it, with the repository that it is linked to if he may see that. Cached ones have nobody
 * as creator, and the upstream that they came from.
 */
export function toPackageJson(
  { config, upstream }: { config: Pick<Config, 'baseUrl'>; upstream: Pick<UpstreamEngine, 'forOwner'> },
  {
    owner,
    creator,
    package: row,
    version,
    metadata,
  }: Pick<PackageDescriptor, 'owner' | 'creator' | 'package' | 'version' | 'metadata'>,
  viewer: Doer,
  repository: RepositoryJson | null = null,
): Static<typeof PackageSchema> {
  const isCached = owner.kind === 'mirror'
  const path = [owner.name, '-', 'packages', row.type, row.name.toLowerCase(), version.lowerVersion]
  return {
    id: version.id,
    owner: toUserJson(owner, viewer, config.baseUrl),
    repository,
    creator: toUserJson(creator ?? ghost, viewer, config.baseUrl),
    type: row.type,
    name: row.name,
    version: version.version,
    visibility: row.isPrivate ? 'private' : owner.visibility,
    html_url: `${config.baseUrl}/${path.map(encodeURIComponent).join('/')}`,
    created_at: formatTime(version.createdAt),
    origin: isCached ? 'cached' : 'hosted',
    upstream: isCached ? (upstream.forOwner(owner.id, row.type)?.settings.name ?? null) : null,
    last_downloaded_at: formatTimeOrNever(version.lastDownloadedAt),
    ...(metadata === null ? {} : { metadata }),
  }
}

/** A file of a version. */
export function toPackageFileJson({
  file,
  blob,
}: PackageDescriptor['files'][number]): Static<typeof PackageFileSchema> {
  return {
    id: file.id,
    size: blob.size,
    name: file.name,
    md5: blob.hashMd5,
    sha1: blob.hashSha1,
    sha256: blob.hashSha256,
    sha512: blob.hashSha512,
  }
}
