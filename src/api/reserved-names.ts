import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { Owner } from '../auth/owner.ts'
import { NotFound } from '../errors.ts'
import type { Services } from '../services.ts'
import { checkPatterns, OrganizationAndType, Patterns } from './name-patterns.ts'
import { getVisibleOrganization } from './visible-accounts.ts'

const PatternsBody = Patterns(1_000)
const PatternsSchema = Type.Array(Type.String())
const forOwners = { config: { access: 'owner', scope: 'organization' } } as const

/**
 * The names that an organization never asks an upstream for, as patterns per type; always read and written as a whole
 * (pull-through.md §7.1).
 */
export const reservedNames: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app

  app.get(
    '/orgs/:org/reserved-names/:type',
    {
      ...forOwners,
      schema: {
        summary: 'List the names that no upstream is asked for',
        params: OrganizationAndType,
        response: { 200: PatternsSchema },
      },
    },
    async (request) => {
      const organization = await getVisibleOrganization(request, request.params.org)
      return list(services, organization, request.params.type)
    },
  )

  app.put(
    '/orgs/:org/reserved-names/:type',
    {
      ...forOwners,
      schema: {
        summary: 'Replace the names that no upstream is asked for',
        params: OrganizationAndType,
        body: PatternsBody,
        response: { 200: PatternsSchema },
      },
    },
    async (request) => {
      const { type } = request.params
      const organization = await getVisibleOrganization(request, request.params.org)
      checkPatterns(services, type, request.body, 'Body')
      await replace(services, organization, type, [...new Set(request.body)])
      await services.upstream.reservedNamesChanged(organization, type)
      return list(services, organization, type)
    },
  )
}

async function list({ models }: Services, organization: Owner, type: string): Promise<string[]> {
  const rows = await models.reservedName.findAll({ where: { orgId: organization.id, type }, order: [['id', 'ASC']] })
  return rows.map(({ pattern }) => pattern)
}

async function replace(
  { db, models }: Services,
  organization: Owner,
  type: string,
  patterns: readonly string[],
): Promise<void> {
  const orgId = organization.id
  await db.inTransaction(async (transaction) => {
    // The lock keeps two lists that are written at once from becoming one.
    const row = await models.user.findByPk(orgId, { lock: transaction.LOCK.UPDATE, transaction })
    if (row === null) throw new NotFound('organization', organization.name)
    await models.reservedName.destroy({ where: { orgId, type }, transaction })
    await models.reservedName.bulkCreate(
      patterns.map((pattern) => ({ orgId, type, pattern })),
      { transaction },
    )
  })
}
