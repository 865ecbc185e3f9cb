import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { NotFound } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { passThrough } from '../../http/pass-through.ts'
import { readJson } from '../../http/raw-body.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import { type AuditKind, auditedNames, emptyAudit, publicAudit } from './audit.ts'
import { parsePackagePath } from './names.ts'
import { search } from './search.ts'

const MAX_AUDIT = 10 * 1024 * 1024
const DEFAULT_SIZE = 20
const MAX_SIZE = 250

const text = Type.Optional(Type.String())
const SEARCH_PARAMETERS = ['text', 'size', 'from', 'quality', 'popularity', 'maintenance'] as const

/** Search, audit and signatures: what a mirror passes on to its upstream, names of ours removed (npm.md §8 to §10). */
export const discoveryRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app

  app.route({
    method: ['GET', 'HEAD'],
    url: '/-/v1/search',
    config: { access: 'read', showsAllowedOnly: true },
    schema: {
      querystring: Type.Object({ text, size: text, from: text, quality: text, popularity: text, maintenance: text }),
    },
    handler: async (request, reply) => {
      const { owner } = request.target!
      const words = (request.query.text ?? '').split(/\s+/)
      const { restriction } = request.doer
      const seesAll = restriction === null || restriction.allowsAll(owner.lowerName, 'npm')
      if (owner.kind === 'mirror' && seesAll && !(await services.upstream.reservesAny(owner, 'npm', words))) {
        const upstream = await readableUpstream(request)
        return passThrough(request, reply, upstream!, `-/v1/search?${searchParameters(request.query)}`)
      }
      const showsPrivate = await services.permissions.readsPrivate(request.doer, owner)
      const isPublic = services.permissions.isPublic(owner) && seesAll && !showsPrivate
      // Others find less, or more.
      reply.headers({ 'cache-control': cacheControl.hosted(isPublic), vary: 'Authorization' })
      return search(services, owner, {
        text: request.query.text ?? '',
        rules: restriction?.of(owner.lowerName) ?? null,
        showsPrivate,
        from: toCount(request.query.from, 0),
        size: Math.min(toCount(request.query.size, 0) || DEFAULT_SIZE, MAX_SIZE),
      })
    },
  })

  const audits: [string, AuditKind][] = [
    ['/-/npm/v1/security/advisories/bulk', 'bulk'],
    ['/-/npm/v1/security/audits/quick', 'quick'],
    ['/-/npm/v1/security/audits', 'quick'],
  ]
  for (const [url, kind] of audits) {
    app.post(url, { config: { access: 'read', showsAllowedOnly: true } }, async (request, reply) => {
      const body = await readJson(request, MAX_AUDIT)
      const names = auditedNames(body, kind)
      const upstream = await readableUpstream(request)
      const hidden = await services.upstream.hostedNames(request.target!.owner, 'npm', names)
      reply.header('cache-control', cacheControl.noStore)
      if (upstream === null || names.every((name) => hidden.has(name))) return emptyAudit(kind)
      const rest = Buffer.from(JSON.stringify(publicAudit(body, kind, hidden)))
      return passThrough(request, reply, upstream, url.slice(1), rest)
    })
  }

  app.route({
    method: ['GET', 'HEAD'],
    url: '/-/npm/v1/keys',
    config: { access: 'read', showsAllowedOnly: true },
    handler: async (request, reply) => {
      // With keys of an upstream every package of ours would count as unsigned, so only a mirror has some.
      const upstream = request.target!.owner.kind === 'mirror' ? await readableUpstream(request) : null
      if (upstream === null) throw new NotFound('route', 'for keys')
      return passThrough(request, reply, upstream, '-/npm/v1/keys')
    },
  })

  for (const url of ['/-/npm/v1/attestations/:spec', '/-/npm/v1/attestations/:scope/:spec']) {
    app.route({
      method: ['GET', 'HEAD'],
      url,
      config: { access: 'read' },
      schema: {
        params: Type.Object({ owner: Type.String(), scope: Type.Optional(Type.String()), spec: Type.String() }),
      },
      handler: async (request, reply) => {
        const { scope, spec } = request.params
        return sendAttestations(request, reply, scope === undefined ? spec : `${scope}/${spec}`)
      },
    })
  }

  async function sendAttestations(request: FastifyRequest, reply: FastifyReply, spec: string): Promise<FastifyReply> {
    const at = spec.lastIndexOf('@')
    const path = at > 0 ? parsePackagePath(spec.slice(0, at)) : null
    const version = spec.slice(at + 1)
    if (path === null || path.rest.length > 0 || version === '') throw new NotFound('route')
    const resolution = await services.upstream.resolve(request.doer, request.target!.owner, 'npm', path.name)
    // Whose version a merged one is decides its documents; they are asked for their own.
    if (resolution.kind !== 'mirror') throw new NotFound('version', `${spec} with attestations`)
    const address = `-/npm/v1/attestations/${encodeURIComponent(path.name)}@${encodeURIComponent(version)}`
    return passThrough(request, reply, resolution.upstream, address)
  }

  /** The first upstream behind the owner that the caller may read; null: none. */
  async function readableUpstream({ doer, target }: FastifyRequest): Promise<Upstream | null> {
    for (const upstream of await services.upstream.upstreamsOf(target!.owner, 'npm')) {
      if ((await services.permissions.accessMode(doer, upstream.owner)) >= 1) return upstream
    }
    return null
  }
}

/** What npm sends; anything else is not for the upstream to see. */
function searchParameters(query: Record<string, string | undefined>): URLSearchParams {
  const known = SEARCH_PARAMETERS.flatMap((name) => (query[name] === undefined ? [] : [[name, query[name]]]))
  return new URLSearchParams(known as [string, string][])
}

function toCount(value: string | undefined, fallback: number): number {
  return value !== undefined && /^\d{1,9}$/.test(value) ? Number(value) : fallback
}
