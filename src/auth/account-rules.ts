import { Invalid, Unprocessable } from '../errors.ts'

/**
 * Names that no account may have: paths of Gitea's that its clients know, and our own top-level ones (rest-api.md §6).
 */
export const reservedNames: ReadonlySet<string> = new Set([
  ...['.', '..', '-', '.well-known', 'api', 'assets', 'attachments', 'avatar', 'avatars', 'captcha', 'explain'],
  ...['explore'],
  ...['favicon.ico', 'ghost', 'gitea-actions', 'healthz', 'issues', 'login', 'manifest.json', 'metrics', 'milestones'],
  ...['mirror', 'notifications', 'org', 'packages', 'pulls', 'readyz', 'repo', 'repo-avatars', 'robots.txt'],
  ...['sitemap.xml', 'ssh_info', 'swagger.v1.json', 'user', 'v2'],
])
const reservedEndings = ['.keys', '.gpg', '.rss', '.atom', '.png']

const NAME = /^[0-9a-zA-Z][-.\w]*$/
const ILL_JOINED = /[-._]{2}|[-._]$/
const EMAIL = /^[\w.!#$%&'*+/=?^`{|}~][-\w.!#$%&'*+/=?^`{|}~]*@[0-9a-zA-Z]([-.]?[0-9a-zA-Z])*$/

/** Whether an account could have this name; look-ups need not ask the database otherwise. */
export function isPossibleName(name: string): boolean {
  return name.length <= 40 && NAME.test(name)
}

/** Unprocessable for a name that a new account may not take. */
export function checkName(name: string): void {
  if (!isPossibleName(name) || ILL_JOINED.test(name)) {
    throw new Unprocessable(
      `name is invalid [${name.slice(0, 40)}]: up to 40 letters, digits and single -, . or _ between them`,
    )
  }
  const lower = name.toLowerCase()
  if (reservedNames.has(lower) || reservedEndings.some((ending) => lower.endsWith(ending))) {
    throw new Unprocessable(`name is reserved [name: ${name}]`)
  }
}

/** Unprocessable for a malformed e-mail address. */
export function checkEmail(email: string): void {
  if (email.length > 254 || !EMAIL.test(email))
    throw new Unprocessable(`e-mail invalid [email: ${email.slice(0, 254)}]`)
}

/** Unprocessable for anything but an empty text or an http or https URL: browsers will show it as a link. */
export function checkWebsite(website: string): void {
  if (website === '') return
  const url = URL.canParse(website) ? new URL(website) : null
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new Unprocessable('[Website]: must be an http or https URL')
}

/**
 * Invalid with Gitea's one-word messages: `PasswordIsRequired` for none or a short one, `PasswordComplexity` for the
 * account's own name or one repeated character.
 */
export function checkPassword(password: string, username: string, minLength: number): void {
  if (password.length < minLength) throw new Invalid('PasswordIsRequired', 'user')
  if (password.toLowerCase() === username.toLowerCase() || /^(.)\1*$/su.test(password)) {
    throw new Invalid('PasswordComplexity', 'user')
  }
}
