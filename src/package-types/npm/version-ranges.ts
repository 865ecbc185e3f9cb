import semver from 'semver'
import { Invalid } from '../../errors.ts'
import type { VersionMatcher } from '../../policies/rule.ts'

const OPTIONS = { includePrerelease: true, loose: true }

/** Which versions a rule means: a version or a range as npm writes them (`1.2.3`, `<2 || 3.x`). Throws Invalid. */
export function compileVersions(text: string): VersionMatcher {
  if (semver.validRange(text, OPTIONS) === null) throw new Invalid('it is no version and no range of versions')
  const range = new semver.Range(text, OPTIONS)
  return (version) => range.test(version)
}

/** Newest first; what is no version comes last. */
export function sortVersions(versions: Iterable<string>): string[] {
  const parsed = [...versions].map((version) => ({ version, semver: semver.parse(version, OPTIONS) }))
  return parsed
    .sort((a, b) =>
      a.semver !== null && b.semver !== null
        ? b.semver.compare(a.semver)
        : Number(a.semver === null) - Number(b.semver === null),
    )
    .map(({ version }) => version)
}

/** Whether a version is older than another; false where either is none. */
export function isOlder(version: string, than: string): boolean {
  const [a, b] = [version, than].map((text) => semver.parse(text, OPTIONS))
  return a != null && b != null && a.compare(b) < 0
}

/** Whether a version is meant for everybody: none of those with a hyphen. */
export function isStable(version: string): boolean {
  return semver.parse(version, OPTIONS)?.prerelease.length === 0
}
