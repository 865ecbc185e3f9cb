import { type Static, Type } from 'typebox'
import type { UpstreamAdapter } from '../../upstream/adapter.ts'
import { compileGlob } from '../../upstream/name-patterns.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import { compilePattern } from './patterns.ts'
import { metadataRequest } from './upstream-documents.ts'
import { compileVersions } from './versions.ts'

const Options = Type.Object(
  {
    /** What becomes of files that contradict their published checksum; `strict` when absent. */
    checksum: Type.Optional(Type.Union([Type.Literal('strict'), Type.Literal('warn')])),
    /** Globs over paths below the repository, for which `warn` is in force all the same. */
    checksumExceptions: Type.Optional(Type.Array(Type.String({ minLength: 1 }))),
    /** Whether there are snapshots; where there are none, nobody is asked for one. True when absent. */
    snapshots: Type.Optional(Type.Boolean()),
  },
  { additionalProperties: false },
)

/** How repositories are asked (maven.md §6). */
export const upstream: UpstreamAdapter = {
  options: Options,
  nameDocument: (name) => {
    const [artifact = '', group = ''] = name.split(':').reverse()
    return metadataRequest({ kind: 'metadata', group, artifact })
  },
  sample: () => metadataRequest({ kind: 'metadata', group: 'junit', artifact: 'junit' }),
  compilePattern,
  compileVersions,
  isMergeable: true,
}

/** The options of one repository, ready for use. */
export interface RepositoryOptions {
  readonly hasSnapshots: boolean
  /** Whether the file at a path (not percent-encoded) is refused when it contradicts its published checksum. */
  readonly isStrict: (path: string) => boolean
}

const compiled = new WeakMap<Upstream['settings'], RepositoryOptions>()

/** What the upstream's file says of the repository. */
export function optionsOf({ settings }: Upstream): RepositoryOptions {
  const known = compiled.get(settings)
  if (known !== undefined) return known
  const { checksum = 'strict', checksumExceptions = [], snapshots = true } = settings.options as Static<typeof Options>
  const exceptions = checksumExceptions.map(compileGlob)
  const options: RepositoryOptions = {
    hasSnapshots: snapshots,
    isStrict: checksum === 'strict' ? (path) => !exceptions.some((matches) => matches(path)) : () => false,
  }
  compiled.set(settings, options)
  return options
}
