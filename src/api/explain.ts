import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { Owner } from '../auth/owner.ts'
import { NotFound, Unauthenticated, Unprocessable } from '../errors.ts'
import { formatTime } from '../json/time.ts'
import type { NamePolicy } from '../policies/name-policy.ts'
import { ACTIONS, SCOPES } from '../policies/rule.ts'
import type { Services } from '../services.ts'
import { parseDigest } from '../storage/digest.ts'
import type { HostedSource, MergedSources, MirrorSource } from '../upstream/resolution.ts'
import type { Upstream } from '../upstream/upstreams.ts'
import { text } from './schemas.ts'

/** Whatever type it is of, it can stand in a path: no empty segments, no `.` and `..`. */
const Name = Type.String({ maxLength: 255, pattern: '^(?!(.*/)?\\.{0,2}(/|$))[\\w@.~+:/-]+$' })
const Time = Type.Union([Type.String(), Type.Null()])
const Verdict = Type.Enum(['allowed', 'refused'])
const ExplanationSchema = Type.Object(
  {
    owner: Type.String(),
    type: Type.String(),
    name: Type.String(),
    version: Type.String(),
    source: Type.Enum(['hosted', 'upstream']),
    upstream: Type.String(),
    trust: Type.String(),
    published_at: Time,
    first_seen: Type.Array(
      Type.Object({ tag: Type.String(), digest: Type.String(), first_seen: Type.String(), verdict: Verdict }),
    ),
    policies: Type.Array(
      Type.Object({
        id: Type.Integer(),
        scope: Type.Enum([...SCOPES]),
        action: Type.Enum([...ACTIONS]),
        reason: Type.String(),
        expires_at: Time,
        verdict: Verdict,
      }),
    ),
    verdict: Verdict,
    reason: Type.String(),
    matures_at: Time,
  },
  { title: 'Explanation' },
)
type Explanation = Type.Static<typeof ExplanationSchema>
type Answer = Pick<Explanation, 'published_at' | 'first_seen' | 'policies' | 'verdict' | 'reason' | 'matures_at'>

const SERVED: Answer = {
  ...{ published_at: null, first_seen: [], policies: [], verdict: 'allowed', reason: '', matures_at: null },
}

/** Why a version is served or not: its source, when it was published, the policies that speak of it (pull-through.md §8.3). */
export const explain: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app

  app.addHook('onRequest', async (request) => {
    if (request.doer.user === null) throw new Unauthenticated('token is required', 'access')
    const { owner: name, type, name: packageName } = request.query as Record<string, unknown>
    if (typeof name !== 'string') throw new Unprocessable('[Owner]: Required')
    const owner = await services.accounts.find(name)
    if (owner === null) throw new NotFound('owner', name)
    request.target = { owner, type: String(type), name: typeof packageName === 'string' ? packageName : null }
  })

  app.get(
    '/packages/explain',
    {
      config: { access: 'read' },
      schema: {
        summary: 'Tell why a version is served or not',
        querystring: Type.Object({
          owner: text(255, 1),
          type: Type.String({ pattern: '^[a-z0-9-]{1,32}$' }),
          name: Name,
          version: text(255, 1),
        }),
        response: { 200: ExplanationSchema },
      },
    },
    async ({ doer, target, query }): Promise<Explanation> => {
      const { type, name, version } = query
      const { owner } = target!
      const asked = { owner: owner.name, type, name, version }
      const resolution = await services.upstream.resolve(doer, owner, type, name)
      const source = resolution.kind === 'merged' ? await findHolder(services, owner, resolution, query) : resolution
      if (source.kind === 'hosted') return { ...asked, source: 'hosted', upstream: '', trust: '', ...SERVED }
      const { upstream, policy } = source
      const answer = policy === null ? SERVED : await judge(services, upstream, policy, name, version)
      const { name: upstreamName, trust } = upstream.settings
      return { ...asked, source: 'upstream', upstream: upstreamName, trust, ...answer }
    },
  )
}

/** Which of the sources that share a name a version is from: the first that lists it. */
async function findHolder(
  { packages, upstream: engine }: Services,
  owner: Owner,
  { sources: [hosted, ...mirrors] }: MergedSources,
  { type, name, version }: { type: string; name: string; version: string },
): Promise<HostedSource | MirrorSource> {
  if ((await packages.lookup.findVersion(owner.id, type, name, version)) !== null) return hosted
  for (const source of mirrors) {
    const request = source.upstream.adapter.nameDocument(name)
    try {
      const listing = request.listing?.(await (await engine.documents.get(source.upstream, request)).accepted())
      if (listing?.kind === 'versions' && listing.published.has(version)) return source
    } catch (error) {
      if (!(error instanceof NotFound)) throw error
    }
  }
  return hosted
}

async function judge(
  services: Services,
  upstream: Upstream,
  policy: NamePolicy,
  name: string,
  version: string,
): Promise<Answer> {
  const { sightings } = services.policies
  const isDigest = parseDigest(version) !== null
  const tags = await (isDigest
    ? sightings.tagsOf(upstream.id, name, version)
    : sightings.digestsOf(upstream.id, name, version))
  // What no tag names has no age.
  const publishedAt = tags[0]?.firstSeen ?? (isDigest ? 0 : await findTime(services, upstream, name, version))
  const decision = policy.decide(version, publishedAt)
  return {
    published_at: publishedAt === null || publishedAt === 0 ? null : formatTime(publishedAt),
    first_seen: tags.map(({ tag, digest, firstSeen }) => ({
      ...{ tag, digest, first_seen: formatTime(firstSeen) },
      verdict: policy.decide(tag, firstSeen).verdict,
    })),
    policies: policy.rules.map((rule) => ({
      ...{ id: rule.id, scope: rule.scope, action: rule.action, reason: rule.reason },
      expires_at: rule.expiresAt === 0 ? null : formatTime(rule.expiresAt),
      verdict: policy.only(rule).decide(version, publishedAt).verdict,
    })),
    verdict: decision.verdict,
    reason: decision.reason ?? '',
    matures_at: decision.matureAt === null ? null : formatTime(decision.matureAt),
  }
}

/** When a version was published, as far as it is known here: ms since the epoch, or null. */
async function findTime(
  { upstream: engine, policies: { sightings } }: Services,
  upstream: Upstream,
  name: string,
  version: string,
): Promise<number | null> {
  const request = upstream.adapter.nameDocument(name)
  const held = await engine.documents.get(upstream, request)
  const listing = request.listing?.(await held.accepted())
  const times = listing?.kind === 'versions' ? await sightings.timesOf(upstream.id, listing) : null
  const time = times?.get(version) ?? (await sightings.timeOf(upstream.id, name, version))
  return time?.publishedAt ?? null
}
