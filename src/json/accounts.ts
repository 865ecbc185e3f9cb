import { type Static, Type } from 'typebox'
import type { Doer } from '../auth/authenticator.ts'
import type { Owner } from '../auth/owner.ts'
import { formatTime, hiddenTime } from './time.ts'

/** The values of `visibility`. */
export const VisibilitySchema = Type.Enum(['public', 'limited', 'private'])

/** Gitea's User: users, and organizations and mirrors as owners (rest-api.md §3). */
export const UserSchema = Type.Object(
  {
    id: Type.Integer(),
    login: Type.String(),
    login_name: Type.String(),
    source_id: Type.Integer(),
    full_name: Type.String(),
    email: Type.String(),
    avatar_url: Type.String(),
    html_url: Type.String(),
    language: Type.String(),
    is_admin: Type.Boolean(),
    last_login: Type.String(),
    created: Type.String(),
    restricted: Type.Boolean(),
    active: Type.Boolean(),
    prohibit_login: Type.Boolean(),
    location: Type.String(),
    website: Type.String(),
    description: Type.String(),
    visibility: Type.String(),
    followers_count: Type.Integer(),
    following_count: Type.Integer(),
    starred_repos_count: Type.Integer(),
    username: Type.String(),
  },
  { title: 'User' },
)

/** Gitea's Organization (rest-api.md §7). */
export const OrganizationSchema = Type.Object(
  {
    id: Type.Integer(),
    name: Type.String(),
    full_name: Type.String(),
    email: Type.String(),
    avatar_url: Type.String(),
    description: Type.String(),
    website: Type.String(),
    location: Type.String(),
    visibility: Type.String(),
    repo_admin_change_team_access: Type.Boolean(),
    username: Type.String(),
  },
  { title: 'Organization' },
)

type UserJson = Static<typeof UserSchema>

/**
 * An account as the viewer may see it: only he himself and administrators learn how he may sign in, and only who is
 * signed in sees an e-mail address. There are no avatars, languages, followers or stars: these are empty.
 */
export function toUserJson(owner: Owner, viewer: Doer, baseUrl: string): UserJson {
  const isTrusted = viewer.user !== null && (viewer.user.isAdmin || viewer.user.id === owner.id)
  return {
    id: owner.id,
    login: owner.name,
    login_name: '',
    source_id: 0,
    full_name: owner.fullName,
    email: viewer.user === null || owner.email === '' ? hiddenEmail(owner.lowerName, baseUrl) : owner.email,
    avatar_url: '',
    html_url: `${baseUrl}/${owner.name}`,
    language: '',
    is_admin: isTrusted && owner.isAdmin,
    last_login: isTrusted ? formatTime(owner.lastLoginAt) : hiddenTime,
    created: formatTime(owner.createdAt),
    restricted: owner.isRestricted,
    active: isTrusted && owner.isActive,
    prohibit_login: isTrusted && owner.prohibitLogin,
    location: owner.location,
    website: owner.website,
    description: owner.description,
    visibility: owner.visibility,
    followers_count: 0,
    following_count: 0,
    starred_repos_count: 0,
    username: owner.name,
  }
}

/** Stands for an account that is gone, or for nobody. */
export const ghost: Owner = Object.freeze({
  id: -1,
  kind: 'user',
  name: 'Ghost',
  lowerName: 'ghost',
  fullName: '',
  email: '',
  visibility: 'public',
  isAdmin: false,
  isActive: true,
  isRestricted: false,
  prohibitLogin: true,
  mustChangePassword: false,
  allowCreateOrganization: false,
  description: '',
  website: '',
  location: '',
  createdAt: 0,
  updatedAt: 0,
  lastLoginAt: 0,
})

/** An organization; its e-mail address is for those who are signed in. */
export function toOrganizationJson(organization: Owner, viewer: Doer): Static<typeof OrganizationSchema> {
  return {
    id: organization.id,
    name: organization.name,
    full_name: organization.fullName,
    email: viewer.user === null ? '' : organization.email,
    avatar_url: '',
    description: organization.description,
    website: organization.website,
    location: organization.location,
    visibility: organization.visibility,
    repo_admin_change_team_access: false,
    username: organization.name,
  }
}

function hiddenEmail(lowerName: string, baseUrl: string): string {
  return `${lowerName}@noreply.${new URL(baseUrl).hostname}`
}
