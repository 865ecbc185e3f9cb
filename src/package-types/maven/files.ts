import type { BlobRow } from '../../packages/package-info.ts'
import type { Digests } from '../../storage/digest.ts'
import type { FilePath } from './coordinates.ts'
import { isSnapshot } from './coordinates.ts'
import { parseBuildFile } from './snapshots.ts'

/** The digests of a stored file. */
export function digestsOfBlob(blob: BlobRow): Digests {
  return { md5: blob.hashMd5, sha1: blob.hashSha1, sha256: blob.hashSha256, sha512: blob.hashSha512 }
}

/** As Gitea has it: nothing but a jar and XML is told apart (maven.md §2). */
export function contentTypeOf(filename: string): string {
  const name = filename.toLowerCase()
  if (name.endsWith('.jar')) return 'application/java-archive'
  return name.endsWith('.pom') || name === 'maven-metadata.xml' ? 'text/xml' : 'application/octet-stream'
}

/**
 * Whether a file is the POM of its version. One with a classifier, such as the `-build.pom` of Maven 4, is an ordinary
 * file; any other name will do, as in Gitea (maven.md §1).
 */
export function isPom(path: FilePath): boolean {
  const { artifact, version, filename } = path
  if (!filename.endsWith('.pom') || filename.startsWith(`${artifact}-${version}-`)) return false
  const build = isSnapshot(version) ? parseBuildFile(path) : null
  return build === null || build.classifier === null
}
