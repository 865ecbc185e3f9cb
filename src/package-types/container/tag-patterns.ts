import { Invalid } from '../../errors.ts'
import type { VersionMatcher } from '../../policies/rule.ts'
import { parseDigest } from '../../storage/digest.ts'
import { compileGlob } from '../../upstream/name-patterns.ts'

const TAGS = /^[\w.?*-]{1,128}$/
const MAX_STARS = 3

/**
 * Which manifests and blobs a rule means: one digest, or tags (`3.20`, `3.*`). What it says of tags does not speak of
 * digests, nor the other way round. Throws Invalid for what is neither.
 */
export function compileVersions(text: string): VersionMatcher {
  if (parseDigest(text) !== null) return (version) => (isDigest(version) ? version === text.toLowerCase() : null)
  if (!TAGS.test(text) || (text.match(/\*/g) ?? []).length > MAX_STARS) {
    throw new Invalid('it is no digest (sha256:…), no tag, and no pattern of tags (3.*)')
  }
  const matches = compileGlob(text)
  return (version) => (isDigest(version) ? null : matches(version))
}

function isDigest(version: string): boolean {
  return version.includes(':')
}
