import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { NotFound, Unauthenticated, Unprocessable } from '../errors.ts'
import type { Services } from '../services.ts'
import type { Candidate, Reason } from '../upstream/resolution.ts'
import { text } from './schemas.ts'

const UpstreamSchema = Type.Object({
  upstream: Type.String(),
  trust: Type.String(),
  mode: Type.String(),
  included: Type.Boolean(),
  bound: Type.Boolean(),
  known: Type.Enum(['has', 'unknown', 'not asked']),
})
const ResolutionSchema = Type.Object(
  {
    owner: Type.String(),
    type: Type.String(),
    name: Type.String(),
    source: Type.Enum(['hosted', 'upstream', 'merged', 'undecided']),
    reason: Type.String(),
    upstreams: Type.Array(UpstreamSchema),
    conflicts: Type.Array(Type.String()),
  },
  { title: 'Resolution' },
)
type Known = Type.Static<typeof UpstreamSchema>['known']

/** What each reason comes to, and how it is put for people. */
const outcomes: Readonly<Record<Reason, readonly ['hosted' | 'upstream' | 'merged' | 'undecided', string]>> = {
  mirror: ['upstream', 'the owner is a mirror'],
  'too-long': ['hosted', 'no package has so long a name'],
  unattached: ['hosted', 'nothing is attached'],
  reserved: ['hosted', 'the name is reserved: no upstream is ever asked for it'],
  hosted: ['hosted', 'the name is or was published here, or was bound to this owner'],
  bound: ['upstream', 'the name is bound to an upstream'],
  merged: ['merged', 'the versions of all sources are one package'],
  unbound: ['undecided', 'the first upstream that has the name gets it when it is next asked for'],
}

/** Which source would answer for a name, and why (pull-through.md §12); no upstream is asked. */
export const resolve: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app

  app.addHook('onRequest', async (request) => {
    if (request.doer.user === null) throw new Unauthenticated('token is required', 'access')
    const { owner: ownerName, type, name } = request.query as Record<string, unknown>
    if (typeof ownerName !== 'string') throw new Unprocessable('[Owner]: Required')
    const owner = await services.accounts.find(ownerName)
    if (owner === null) throw new NotFound('owner', ownerName)
    request.target = { owner, type: String(type), name: typeof name === 'string' ? name : null }
  })

  app.get(
    '/packages/resolve',
    {
      config: { access: 'read' },
      schema: {
        summary: 'Tell which source answers for a name',
        querystring: Type.Object({
          owner: text(255, 1),
          type: Type.String({ pattern: '^[a-z0-9-]{1,32}$' }),
          name: text(512, 1),
        }),
        response: { 200: ResolutionSchema },
      },
    },
    async ({ doer, target, query }) => {
      const { type, name } = query
      const { owner, hiddenOwner } = target!
      const survey = await services.upstream.survey(doer, hiddenOwner ?? owner, type, name)
      // A private package looks like a name that nobody has (security.md S4).
      const isOurs = survey.reason === 'hosted' || survey.reason === 'merged'
      const reason = hiddenOwner !== undefined && isOurs ? 'unbound' : survey.reason
      const [source, why] = outcomes[reason]
      const isAsked = reason !== 'hosted' && reason !== 'reserved'
      const upstreams = await Promise.all(
        survey.candidates.map(async (candidate) => ({
          upstream: candidate.upstream.settings.name,
          trust: candidate.upstream.settings.trust,
          mode: candidate.upstream.mode,
          ...{ included: candidate.isIncluded, bound: candidate.isBound },
          known: isAsked ? await findKnown(services, candidate, name) : ('not asked' as const),
        })),
      )
      const others = upstreams.filter(({ bound, known }) => reason === 'bound' && !bound && known === 'has')
      const conflicts = others.map(({ upstream }) => upstream)
      return { owner: owner.name, type, name, source, reason: why, upstreams, conflicts }
    },
  )
}

/** What is held of a name, however old. */
async function findKnown(
  { upstream: engine }: Services,
  { upstream, isIncluded }: Candidate,
  name: string,
): Promise<Known> {
  if (!isIncluded) return 'not asked'
  try {
    await engine.documents.get(upstream, upstream.adapter.nameDocument(name), { onlyIfCached: true })
    return 'has'
  } catch {
    return 'unknown'
  }
}
