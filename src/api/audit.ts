import { Readable } from 'node:stream'
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { AuditFilter, AuditRecord } from '../audit/queries.ts'
import { Unprocessable } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { getVisibleOrganization } from './visible-accounts.ts'

const Named = Type.Union([Type.Object({ id: Type.Integer(), login: Type.String() }), Type.Null()])
const EventSchema = Type.Object(
  {
    id: Type.Integer(),
    created_at: Type.String(),
    action: Type.String(),
    actor: Named,
    sudoer: Named,
    token: Type.Union([Type.Object({ id: Type.Integer(), name: Type.String() }), Type.Null()]),
    address: Type.String(),
    target: Type.Object({
      kind: Type.String(),
      owner: Named,
      type: Type.String(),
      name: Type.String(),
      version: Type.String(),
    }),
    details: Type.Unsafe<object>({ type: 'object', additionalProperties: true }),
  },
  { title: 'AuditEvent' },
)
const filter = {
  since: Type.Optional(Type.String({ description: 'RFC 3339; not before.' })),
  until: Type.Optional(Type.String({ description: 'RFC 3339; not after.' })),
  actor: Type.Optional(Type.String({ maxLength: 255, description: 'Who did it, or did it through sudo.' })),
  action: Type.Optional(Type.String({ maxLength: 255 })),
}
const ofOwner = { ...filter, owner: Type.Optional(Type.String({ maxLength: 255 })) }
const forAdmins = { access: 'admin', scope: 'admin' } as const
const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i

/** Who did what, from where: for site administrators all of it, for owners of an organization what touched that. */
export const audit: FastifyPluginAsyncTypebox = async (app) => {
  const { audit } = app.services

  app.get(
    '/admin/audit',
    {
      config: forAdmins,
      schema: {
        summary: 'List what was done, newest first',
        querystring: Type.Object({ ...ofOwner, ...pagingParameters }),
        response: { 200: Type.Array(EventSchema) },
      },
    },
    async (request, reply) => {
      const paging = readPaging(request.query)
      await audit.settle()
      const { rows, total } = await audit.queries.list(toFilter(request.query), paging)
      setPagingHeaders(request, reply, paging, total)
      return rows.map(toJson)
    },
  )

  app.get(
    '/admin/audit/export',
    {
      config: { ...forAdmins, answers: [200] },
      schema: {
        summary: 'Export what was done as JSON lines, oldest first',
        querystring: Type.Object(ofOwner),
      },
    },
    async (request, reply) => {
      const filter = toFilter(request.query)
      await audit.settle()
      return reply.type('application/x-ndjson').send(Readable.from(toLines(audit.queries.all(filter))))
    },
  )

  app.get(
    '/orgs/:org/audit',
    {
      config: { access: 'owner', scope: 'organization' },
      schema: {
        summary: 'List what was done to an organization and its packages, newest first',
        params: Type.Object({ org: Type.String() }),
        querystring: Type.Object({ ...filter, ...pagingParameters }),
        response: { 200: Type.Array(EventSchema) },
      },
    },
    async (request, reply) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      const paging = readPaging(request.query)
      await audit.settle()
      const asked = { ...toFilter(request.query), ownerId: organization.id }
      const { rows, total } = await audit.queries.list(asked, paging)
      setPagingHeaders(request, reply, paging, total)
      return rows.map(toJson)
    },
  )
}

function toFilter(query: {
  since?: string
  until?: string
  actor?: string
  action?: string
  owner?: string
}): AuditFilter {
  return {
    since: readTime('since', query.since),
    until: readTime('until', query.until),
    actorName: query.actor,
    action: query.action,
    ownerName: query.owner,
  }
}

function readTime(name: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined
  const time = TIME.test(value) ? Date.parse(value) : Number.NaN
  if (Number.isNaN(time)) throw new Unprocessable(`[${name}]: not a time such as 2026-01-31T00:00:00Z`)
  return time
}

async function* toLines(batches: AsyncIterable<AuditRecord[]>): AsyncGenerator<string> {
  for await (const batch of batches) yield batch.map((record) => `${JSON.stringify(toJson(record))}\n`).join('')
}

function toJson(record: AuditRecord): Type.Static<typeof EventSchema> {
  const { id, createdAt, action, token, address, owner, type, name, version, details } = record
  const kind = action.slice(0, Math.max(0, action.lastIndexOf('.')))
  return {
    id,
    created_at: new Date(createdAt).toISOString(),
    action,
    actor: toLogin(record.actor),
    sudoer: toLogin(record.sudoer),
    token,
    address,
    target: { kind, owner: toLogin(owner), type, name, version },
    details,
  }
}

function toLogin(account: { id: number; name: string } | null): { id: number; login: string } | null {
  return account === null ? null : { id: account.id, login: account.name }
}
