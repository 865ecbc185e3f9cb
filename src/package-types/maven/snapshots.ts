import type { FilePath } from './coordinates.ts'
import type { SnapshotBuild, SnapshotFile } from './metadata-xml.ts'

const SNAPSHOT = 'SNAPSHOT'
// No leading zeros: the name is made again from the number.
const BUILD = /^(\d{8}\.\d{6})-(0|[1-9]\d{0,8})(?=[-.])/
/** Endings that are an extension together with the one before them: `tar.gz`, and signatures of anything. */
const OUTER = /\.(asc|sig|sigstore|sigstore\.json)$/i
const DOUBLE = /\.(tar\.[^.]+|[^.]+)$/i

/**
 * What the name of a file says when it is `{artifact}-{base}-{yyyyMMdd.HHmmss}-{build}[-{classifier}].{extension}`
 * (maven.md §1); null for any other name. Names do not tell where a classifier with dots ends: what follows the last
 * dot is taken for the extension, but for `tar.…` and signatures, as repository managers do.
 */
export function parseBuildFile({ artifact, version, filename }: Omit<FilePath, 'kind' | 'group'>): SnapshotFile | null {
  const start = `${artifact}-${version.slice(0, -SNAPSHOT.length)}`
  if (!filename.toLowerCase().startsWith(start.toLowerCase())) return null
  const match = BUILD.exec(filename.slice(start.length))
  if (match === null) return null
  const [whole, timestamp, build] = match as unknown as [string, string, string]
  const kind = splitKind(filename.slice(start.length + whole.length))
  return kind === null ? null : { ...kind, timestamp, build: Number(build) }
}

/** The name of a build, as it is kept: `20261121.200011-1`. */
export function buildName({ timestamp, buildNumber }: SnapshotBuild): string {
  return `${timestamp}-${buildNumber}`
}

/**
 * What the metadata of a snapshot names: of each kind of file the one of the newest build. Builds that a client has
 * announced by its metadata are complete; where there are such, the others are still being deployed and not looked at.
 */
export function newestFiles<F extends SnapshotFile>(files: readonly F[], announced: ReadonlySet<string>): F[] {
  const complete = files.filter(({ timestamp, build }) => announced.has(buildName({ timestamp, buildNumber: build })))
  const newest = new Map<string, F>()
  for (const file of complete.length > 0 ? complete : files) {
    const kind = `${file.classifier ?? ''}.${file.extension}`
    const held = newest.get(kind)
    if (held === undefined || isNewer(file, held)) newest.set(kind, file)
  }
  return [...newest.values()]
}

function isNewer(one: SnapshotFile, other: SnapshotFile): boolean {
  return one.build === other.build ? one.timestamp > other.timestamp : one.build > other.build
}

/** `-{classifier}.{extension}` or `.{extension}`. */
function splitKind(rest: string): Pick<SnapshotFile, 'classifier' | 'extension'> | null {
  if (rest.startsWith('.')) return rest.length === 1 ? null : { classifier: null, extension: rest.slice(1) }
  const outer = OUTER.exec(rest)?.[0] ?? ''
  const inner = rest.slice(0, rest.length - outer.length)
  const extension = DOUBLE.exec(inner)?.[0]
  if (extension === undefined) return null
  const classifier = inner.slice(1, inner.length - extension.length)
  return classifier === '' ? null : { classifier, extension: `${extension}${outer}`.slice(1) }
}
