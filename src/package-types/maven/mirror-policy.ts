import { NotFound } from '../../errors.ts'
import type { Decision } from '../../policies/decision.ts'
import type { NamePolicy } from '../../policies/name-policy.ts'
import type { Verdicts } from '../../policies/verdicts.ts'
import type { Services } from '../../services.ts'
import type { HeldDocument } from '../../upstream/documents.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import {
  type FilePath,
  formatPath,
  isSnapshot,
  type MetadataPath,
  packageName,
  parsePath,
  type SnapshotMetadataPath,
} from './coordinates.ts'
import { MirroredFile } from './mirrored-files.ts'
import { listingOf, metadataRequest, type UpstreamDocument } from './upstream-documents.ts'

/** Snapshots go on changing: no rule that asks for an age holds them back (pull-through.md §8.3). */
const AGELESS = 0

/** What a policy makes of one artifact of an upstream. */
export class MirrorPolicy {
  readonly #services: Services
  readonly #upstream: Upstream
  readonly #policy: NamePolicy

  constructor(services: Services, upstream: Upstream, policy: NamePolicy) {
    this.#services = services
    this.#upstream = upstream
    this.#policy = policy
  }

  /** What it makes of the versions that `maven-metadata.xml` lists. */
  verdicts(path: MetadataPath, held: HeldDocument<UpstreamDocument>): Promise<Verdicts> {
    return this.#services.policies.verdicts.get(this.#policy, packageName(path)!, {
      upstreamId: this.#upstream.id,
      version: held.version,
      listing: async () => listingOf(path, await held.accepted(), held.lastModified),
      askTime: (version) => this.#askTime({ ...path, version }),
    })
  }

  /** Throws Blocked where nothing is left of what a document lists. */
  requireSome(verdicts: Verdicts, listed: readonly string[]): void {
    const refusals = listed.map((version) => verdicts.refused.get(version))
    const last = refusals.at(-1)
    if (last !== undefined && !refusals.includes(undefined)) this.#policy.enforce(last)
  }

  /** Throws Blocked unless the policy lets the version of a path through, whether it is held or not (S28). */
  async requireServed(path: FilePath | SnapshotMetadataPath): Promise<void> {
    this.#policy.enforce(await this.#decide(path))
  }

  /** The header that tells of rules that only warn. */
  notice({ version }: { version: string }): Record<string, string> {
    const warnings = this.#policy.warningsOf(version)
    if (warnings.length === 0) return {}
    const text = warnings.join('; ').replace(/[^\x20-\x7e]/g, '?')
    return { 'x-policy-warning': text.slice(0, 500) }
  }

  async #decide(path: FilePath | SnapshotMetadataPath): Promise<Decision> {
    const { group, artifact, version } = path
    if (isSnapshot(version)) return this.#policy.decide(version, AGELESS)
    if (!this.#policy.asksForTimes) return this.#policy.decide(version, null)
    const metadata: MetadataPath = { kind: 'metadata', group, artifact }
    const held = await this.#findMetadata(metadata)
    if (held !== null && listingOf(metadata, await held.accepted(), null).published.has(version)) {
      const refusal = (await this.verdicts(metadata, held)).refused.get(version)
      return refusal ?? this.#policy.decide(version, AGELESS)
    }
    // Not every repository lists what it has.
    const { sightings } = this.#services.policies
    const name = packageName(path)!
    const seen = await sightings.timeOf(this.#upstream.id, name, version)
    if (seen !== null && !seen.isBound) return this.#policy.decide(version, seen.publishedAt)
    const stated = await this.#askTime(path, { isRequired: true })
    return this.#policy.decide(version, await sightings.learn(this.#upstream.id, name, version, stated))
  }

  async #findMetadata(path: MetadataPath): Promise<HeldDocument<UpstreamDocument> | null> {
    try {
      return await this.#services.upstream.documents.get(this.#upstream, metadataRequest(path))
    } catch (error) {
      if (error instanceof NotFound) return null
      throw error
    }
  }

  /**
   * When the upstream says that a version's POM was put there; null: it does not say. Throws NotFound where the POM is
   * required and there is none.
   */
  async #askTime(
    { group, artifact, version }: Pick<FilePath, 'group' | 'artifact' | 'version'>,
    { isRequired = false } = {},
  ): Promise<number | null> {
    const path: FilePath = { kind: 'file', group, artifact, version, filename: `${artifact}-${version}.pom` }
    // A version that a document made up may be no folder.
    if (parsePath(formatPath(path)) === null) return null
    const pom = new MirroredFile(this.#services, this.#upstream, { path, state: null, method: 'HEAD' })
    try {
      return (await this.#services.upstream.artifacts.open(this.#upstream, pom)).lastModified
    } catch (error) {
      if (error instanceof NotFound && !isRequired) return null
      throw error
    }
  }
}
