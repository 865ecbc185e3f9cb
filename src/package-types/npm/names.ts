import semver from 'semver'
import { Invalid } from '../../errors.ts'

/** The longest name npm allows, in characters. */
const MAX_NAME = 214
/** Columns of the database hold 255 characters. */
const MAX_FILE_NAME = 255
const MAX_TAG = 200

const hostedName = /^(@[a-z0-9-][a-z0-9-._]*\/)?[a-z0-9-][a-z0-9-._]*$/
// Control characters could end up in a header or a log line; a backslash is a separator on some systems.
const hostile = /[\x00-\x1f\x7f-\x9f\\\ufffd]/
const empty = /^@?\.{0,2}$/

/** A package's name and the path segments that follow it: `@a/b/-/b-1.0.0.tgz` → `@a/b` and `['-', 'b-1.0.0.tgz']`. */
export interface PackagePath {
  readonly name: string
  readonly rest: readonly string[]
}

/**
 * Reads a decoded path below the registry root. npm and yarn send a scoped name as `@a%2fb`, pnpm as `@a%2Fb`, tarball
 * URLs as `@a/b`, some tools `%40`: decoded once they are the same text, and a leading `@` says that two segments make
 * the name. Null where no name can stand (`-/…`, nothing). Invalid for control characters, backslashes, empty, `.` or
 * `..` segments, and names over 214 characters: nothing that reaches a key or a row leaves its folder (npm.md §1).
 */
export function parsePackagePath(path: string): PackagePath | null {
  if (path === '' || path === '-' || path.startsWith('-/')) return null
  const segments = path.split('/')
  // A final slash is not a segment: browsers and curl users add one.
  if (segments.length > 1 && segments.at(-1) === '') segments.pop()
  if (hostile.test(path) || segments.some((segment) => empty.test(segment))) {
    throw new Invalid('the path is not a package path', 'package')
  }
  const scoped = path.startsWith('@')
  if (scoped && segments.length === 1) return null
  const name = scoped ? `${segments[0]}/${segments[1]}` : segments[0]!
  if (name.length > MAX_NAME) throw new Invalid(`a package name has at most ${MAX_NAME} characters`, 'package')
  return { name, rest: segments.slice(scoped ? 2 : 1) }
}

/** Owner and package that the parameters of an npm route name; see `PackageType.parseTarget`. */
export function parseTarget({ params }: { params: unknown }): { owner: string; name: string | null } {
  const { owner, '*': path } = params as { owner: string; '*'?: string }
  return { owner, name: path === undefined ? null : (parsePackagePath(path)?.name ?? null) }
}

/** Throws Invalid unless a package of ours may be called so (Gitea's rule: lower case, npm.md §1). */
export function checkName(name: string): void {
  if (name.length > MAX_NAME || name === '-' || !hostedName.test(name)) {
    throw new Invalid('the package name is invalid', 'package')
  }
}

/** A version in normal form, without leading `v` and build metadata; null when it is none (npm.md §4). */
export function normalizeVersion(version: unknown): string | null {
  return typeof version === 'string' && version.length <= 200 ? semver.valid(version.trim()) : null
}

/** The name without its scope: `@a/b` → `b`. */
export function basename(name: string): string {
  return name.slice(name.lastIndexOf('/') + 1)
}

/** The file that holds a version, always in this form: pnpm and yarn rebuild it from name and version (npm.md §1). */
export function tarballFileName(name: string, version: string): string {
  const file = `${basename(name)}-${version}.tgz`
  if (file.length > MAX_FILE_NAME) throw new Invalid('name and version are too long together', 'version')
  return file
}

/**
 * The file that a tarball path means: the segments after `<package>/-/`, which are the file, or the scope or version
 * and the file: npm and pnpm publish the scope twice, older Gitea wrote the version before the file (npm.md §1).
 * Null when they mean none.
 */
export function tarballFile(name: string, segments: readonly string[]): string | null {
  const file = segments.at(-1)
  if (file === undefined || segments.length > 2) return null
  if (segments.length === 1) return file
  const [before] = segments as [string, string]
  const scope = name.startsWith('@') ? name.slice(0, name.indexOf('/')) : null
  if (before === scope) return file
  return file.toLowerCase() === `${basename(name)}-${before}.tgz`.toLowerCase() ? file : null
}

/** The version that a standard file name holds; null for any other file name. Case does not count. */
export function versionOfFile(name: string, file: string): string | null {
  const prefix = `${basename(name)}-`.toLowerCase()
  const lower = file.toLowerCase()
  if (!lower.startsWith(prefix) || !lower.endsWith('.tgz') || lower.length <= prefix.length + 4) return null
  return file.slice(prefix.length, -4)
}

/**
 * Throws Invalid unless this can be a dist-tag. What parses as a version or a range would never be found as a tag, and
 * npm refuses to install a tag that a URL would change (npm.md §6).
 */
export function checkTag(tag: string): void {
  if (tag === '' || tag.length > MAX_TAG || encodeURIComponent(tag) !== tag || semver.validRange(tag, true) !== null) {
    throw new Invalid(`${JSON.stringify(tag)} is not a tag: it is empty, a version or a range`, 'tag')
  }
}
