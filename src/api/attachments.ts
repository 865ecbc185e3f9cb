import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { Owner } from '../auth/owner.ts'
import { Conflict, NotFound, Unprocessable } from '../errors.ts'
import type { Services } from '../services.ts'
import { checkPatterns, OrganizationAndType, Patterns } from './name-patterns.ts'
import { body, optional, text } from './schemas.ts'
import { getVisibleOrganization } from './visible-accounts.ts'

const AttachmentBody = body(
  {
    upstream: text(255, 1),
    include: optional(Patterns(100)),
    exclude: optional(Patterns(100)),
  },
  { title: 'UpstreamAttachmentOption' },
)
const AttachmentsBody = Type.Array(Type.Union([text(255, 1), AttachmentBody]), { maxItems: 50 })
const AttachmentSchema = Type.Object(
  {
    upstream: Type.String(),
    include: Type.Array(Type.String()),
    exclude: Type.Array(Type.String()),
  },
  { title: 'UpstreamAttachment' },
)
const forOwners = { config: { access: 'owner', scope: 'organization' } } as const

type Attachment = Type.Static<typeof AttachmentSchema>

/**
 * The upstreams that an organization attaches, per type and in the order in which they are asked; always read and
 * written as a whole (pull-through.md §7).
 */
export const attachments: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app

  app.get(
    '/orgs/:org/upstreams/:type',
    {
      ...forOwners,
      schema: {
        summary: 'List the upstreams that an organization falls through to',
        params: OrganizationAndType,
        response: { 200: Type.Array(AttachmentSchema) },
      },
    },
    async (request) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      return list(services, organization, request.params.type)
    },
  )

  app.put(
    '/orgs/:org/upstreams/:type',
    {
      ...forOwners,
      schema: {
        summary: 'Replace the upstreams that an organization falls through to, in order',
        params: OrganizationAndType,
        body: AttachmentsBody,
        response: { 200: Type.Array(AttachmentSchema) },
      },
    },
    async (request) => {
      const { type } = request.params
      const organization = await getVisibleOrganization(request, request.params.org)
      const wanted = request.body.map((element) =>
        typeof element === 'string'
          ? { upstream: element, include: [], exclude: [] }
          : { upstream: element.upstream, include: element.include ?? [], exclude: element.exclude ?? [] },
      )
      await replace(services, organization, type, await check(request, type, wanted))
      services.upstream.attachmentsChanged(organization.id, type)
      return list(services, organization, type)
    },
  )
}

async function list({ models }: Services, organization: Owner, type: string): Promise<Attachment[]> {
  const rows = await models.upstreamAttachment.findAll({
    where: { orgId: organization.id, type },
    order: [['position', 'ASC']],
  })
  const upstreams = await models.upstream.findAll({ where: { id: rows.map((row) => row.upstreamId) } })
  return rows.map((row) => ({
    upstream: upstreams.find(({ id }) => id === row.upstreamId)?.name ?? '',
    include: JSON.parse(row.include) as string[],
    exclude: JSON.parse(row.exclude) as string[],
  }))
}

/** Unprocessable for what cannot be attached; an upstream that the caller may not read is like an unknown one. */
async function check(request: FastifyRequest, type: string, wanted: Attachment[]) {
  const { upstream, accounts, permissions } = request.server.services
  const rows: { upstreamId: number; include: string; exclude: string }[] = []
  for (const { upstream: name, include, exclude } of wanted) {
    const found = upstream.find(name)
    const mirror = found === null ? null : await accounts.findById(found.owner.id)
    if (found === null || mirror === null || (await permissions.accessMode(request.doer, mirror)) < 1) {
      throw new Unprocessable(`[Upstream]: ${name} is not known`)
    }
    if (found.settings.type !== type) {
      throw new Unprocessable(`[Upstream]: ${name} has packages of type ${found.settings.type}, not ${type}`)
    }
    if (rows.some(({ upstreamId }) => upstreamId === found.id)) {
      throw new Unprocessable(`[Upstream]: ${name} is listed twice`)
    }
    checkPatterns(request.server.services, type, include, 'Include')
    checkPatterns(request.server.services, type, exclude, 'Exclude')
    rows.push({ upstreamId: found.id, include: JSON.stringify(include), exclude: JSON.stringify(exclude) })
  }
  return rows
}

async function replace(
  { db, models, upstream }: Services,
  organization: Owner,
  type: string,
  rows: { upstreamId: number; include: string; exclude: string }[],
): Promise<void> {
  const orgId = organization.id
  await db.inTransaction(async (transaction) => {
    // The lock keeps two lists that are written at once from becoming one.
    const row = await models.user.findByPk(orgId, { lock: transaction.LOCK.UPDATE, transaction })
    if (row === null) throw new NotFound('organization', organization.name)
    // Who deletes an upstream meanwhile comes before, or after and is refused.
    const ids = rows.map(({ upstreamId }) => upstreamId)
    const upstreams = await models.upstream.findAll({ where: { id: ids }, lock: transaction.LOCK.UPDATE, transaction })
    if (upstreams.some(({ id, settings }) => settings === null && upstream.findById(id)?.origin !== 'file')) {
      throw new Conflict('upstream', 'one of them was just deleted')
    }
    await models.upstreamAttachment.destroy({ where: { orgId, type }, transaction })
    await models.upstreamAttachment.bulkCreate(
      rows.map((attachment, position) => ({ ...attachment, orgId, type, position })),
      { transaction },
    )
  })
}
