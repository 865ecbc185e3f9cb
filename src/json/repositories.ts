import { type Static, Type } from 'typebox'
import type { Doer } from '../auth/doer.ts'
import type { AccessMode } from '../auth/memberships.ts'
import type { Owner } from '../auth/owner.ts'
import type { RepositoryRow } from '../packages/repository.ts'
import { toUserJson, UserSchema } from './accounts.ts'
import { formatTime, hiddenTime } from './time.ts'

const WRITE = 2
const ADMIN = 3

/** What Gitea says of a repository with nothing in it; there is never anything in ours (rest-api.md §3). */
const constants = {
  empty: true,
  fork: false,
  template: false,
  mirror: false,
  size: 0,
  language: '',
  link: '',
  ssh_url: '',
  clone_url: '',
  original_url: '',
  stars_count: 0,
  forks_count: 0,
  watchers_count: 0,
  open_issues_count: 0,
  open_pr_counter: 0,
  release_counter: 0,
  default_branch: 'main',
  archived: false,
  has_code: false,
  has_issues: false,
  has_wiki: false,
  has_pull_requests: false,
  has_projects: false,
  projects_mode: 'all',
  has_releases: false,
  has_packages: true,
  has_actions: false,
  ignore_whitespace_conflicts: false,
  allow_merge_commits: false,
  allow_rebase: false,
  allow_rebase_explicit: false,
  allow_squash_merge: false,
  allow_fast_forward_only_merge: false,
  allow_rebase_update: false,
  allow_manual_merge: false,
  autodetect_manual_merge: false,
  default_delete_branch_after_merge: false,
  default_merge_style: 'merge',
  default_allow_maintainer_edit: false,
  avatar_url: '',
  mirror_interval: '',
  object_format_name: 'sha1',
}

const flag = Type.Boolean()
const number = Type.Integer()
const string = Type.String()

/** Gitea's Repository without what it leaves out when empty; `website` is where the real one is. */
export const RepositorySchema = Type.Object(
  {
    id: number,
    owner: UserSchema,
    name: string,
    full_name: string,
    description: string,
    empty: flag,
    private: flag,
    fork: flag,
    template: flag,
    mirror: flag,
    size: number,
    language: string,
    languages_url: string,
    html_url: string,
    url: string,
    link: string,
    ssh_url: string,
    clone_url: string,
    original_url: string,
    website: string,
    stars_count: number,
    forks_count: number,
    watchers_count: number,
    open_issues_count: number,
    open_pr_counter: number,
    release_counter: number,
    default_branch: string,
    archived: flag,
    created_at: string,
    updated_at: string,
    archived_at: string,
    permissions: Type.Optional(Type.Object({ admin: flag, push: flag, pull: flag })),
    has_code: flag,
    has_issues: flag,
    has_wiki: flag,
    has_pull_requests: flag,
    has_projects: flag,
    projects_mode: string,
    has_releases: flag,
    has_packages: flag,
    has_actions: flag,
    ignore_whitespace_conflicts: flag,
    allow_merge_commits: flag,
    allow_rebase: flag,
    allow_rebase_explicit: flag,
    allow_squash_merge: flag,
    allow_fast_forward_only_merge: flag,
    allow_rebase_update: flag,
    allow_manual_merge: flag,
    autodetect_manual_merge: flag,
    default_delete_branch_after_merge: flag,
    default_merge_style: string,
    default_allow_maintainer_edit: flag,
    avatar_url: string,
    internal: flag,
    mirror_interval: string,
    object_format_name: string,
    mirror_updated: string,
    topics: Type.Array(string),
    licenses: Type.Array(string),
  },
  { title: 'Repository' },
)

/** A repository as REST shows it. */
export type RepositoryJson = Static<typeof RepositorySchema>

/**
 * A repository that the viewer may see; `mode` is his access to the owner's packages, null to leave out what he may do.
 */
export function toRepositoryJson(
  baseUrl: string,
  { owner, row }: { owner: Owner; row: RepositoryRow },
  viewer: Doer,
  mode: AccessMode | null,
): RepositoryJson {
  const path = `${encodeURIComponent(owner.name)}/${encodeURIComponent(row.name)}`
  const url = `${baseUrl}/api/v1/repos/${path}`
  const permissions = mode === null ? {} : { permissions: { admin: mode >= ADMIN, push: mode >= WRITE, pull: true } }
  return {
    ...constants,
    ...permissions,
    id: row.id,
    owner: toUserJson(owner, viewer, baseUrl),
    name: row.name,
    full_name: `${owner.name}/${row.name}`,
    description: row.description,
    private: row.isPrivate,
    internal: !row.isPrivate && owner.visibility === 'private',
    languages_url: `${url}/languages`,
    html_url: `${baseUrl}/${path}`,
    url,
    website: row.url,
    created_at: formatTime(row.createdAt),
    updated_at: formatTime(row.updatedAt),
    archived_at: formatTime(0),
    mirror_updated: hiddenTime,
    topics: [],
    licenses: [],
  }
}
