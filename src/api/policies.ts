import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { TProperties } from 'typebox'
import { NotFound, Unprocessable } from '../errors.ts'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import type { Place } from '../policies/rule.ts'
import type { RuleInput } from '../policies/rule-input.ts'
import { ActionName, PolicySchema, policyFields, toPolicyJson, toRuleChanges } from './policy-json.ts'
import { body, given, optional, text } from './schemas.ts'
import { getVisibleOrganization } from './visible-accounts.ts'

const EditPolicy = body(policyFields, { title: 'EditPolicyOption' })
const creatable = { action: ActionName, ...policyFields }
const forAdmins = { config: { access: 'admin', scope: 'admin' } } as const
const NOTHING: Omit<RuleInput, 'action'> = {
  ...{ type: '', name: '', versions: '', minAge: 0, notAfter: 0, untrustedOnly: false, reason: '', expiresAt: 0 },
}

/** Where policies are kept, who may see and change them; administrators see those of all places. */
const places = [
  {
    prefix: '/admin/policies',
    access: 'admin',
    scope: 'admin',
    parameters: {} as TProperties,
    // `upstream`: the policy holds at this upstream alone.
    creation: body({ ...creatable, upstream: optional(text(255)) }, { title: 'CreateSitePolicyOption' }),
    find: async (_request: FastifyRequest): Promise<Place | null> => null,
  },
  {
    prefix: '/orgs/:org/policies',
    access: 'owner',
    scope: 'organization',
    parameters: { org: Type.String() } as TProperties,
    creation: body(creatable, { title: 'CreatePolicyOption' }),
    find: async (request: FastifyRequest): Promise<Place | null> => {
      const { id } = await getVisibleOrganization(request, (request.params as { org: string }).org)
      return { scope: 'organization', scopeId: id }
    },
  },
] as const

/** Rules about what of upstreams is served (pull-through.md §8). What changes here holds at once. */
export const policies: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app
  const { rules } = services.policies
  const toJson = (rule: Parameters<typeof toPolicyJson>[1]) => toPolicyJson(services, rule)

  for (const { prefix, access, scope, parameters, creation, find } of places) {
    const config = { access, scope }
    const ofPlace = Type.Object(parameters)
    const ofPolicy = Type.Object({ ...parameters, policy: Type.String() })

    app.get(
      prefix,
      {
        config,
        schema: {
          summary: 'List policies',
          params: ofPlace,
          querystring: Type.Object(pagingParameters),
          response: { 200: Type.Array(PolicySchema) },
        },
      },
      async (request, reply) => {
        const paging = readPaging(request.query)
        const held = await rules.list(await find(request), paging)
        setPagingHeaders(request, reply, paging, held.total)
        return Promise.all(held.rules.map(toJson))
      },
    )

    app.post(
      prefix,
      {
        config,
        schema: { summary: 'Make a policy', params: ofPlace, body: creation, response: { 201: PolicySchema } },
      },
      async (request, reply) => {
        const { action, upstream, ...fields } = request.body as Type.Static<(typeof places)[0]['creation']>
        const place = (await find(request)) ?? findPlace(given(upstream))
        const input = { action, ...NOTHING, ...toRuleChanges(fields) }
        return reply.code(201).send(await toJson(await rules.create(place, input, request.doer.user!.name)))
      },
    )

    app.get(
      `${prefix}/:policy`,
      { config, schema: { summary: 'Get a policy', params: ofPolicy, response: { 200: PolicySchema } } },
      async (request) => toJson(await rules.get(await find(request), policyId(request))),
    )

    app.patch(
      `${prefix}/:policy`,
      {
        config,
        schema: { summary: 'Change a policy', params: ofPolicy, body: EditPolicy, response: { 200: PolicySchema } },
      },
      async (request) => {
        const place = await find(request)
        return toJson(await rules.update(place, policyId(request), toRuleChanges(request.body)))
      },
    )

    app.delete(
      `${prefix}/:policy`,
      { config, schema: { summary: 'Delete a policy', params: ofPolicy } },
      async (request, reply) => {
        await rules.delete(await find(request), policyId(request))
        return reply.code(204).send()
      },
    )
  }

  app.post(
    '/admin/policies/presets/recommended',
    {
      ...forAdmins,
      schema: {
        summary: 'Hold back what upstreams published less than three days ago',
        response: { 200: PolicySchema, 201: PolicySchema },
      },
    },
    async (request, reply) => {
      const { rule, isNew } = await services.policies.recommend(request.doer.user!.name)
      return reply.code(isNew ? 201 : 200).send(await toJson(rule))
    },
  )

  function findPlace(upstream: string | undefined): Place {
    if (upstream === undefined || upstream === '') return { scope: 'site', scopeId: 0 }
    const found = services.upstream.find(upstream)
    if (found === null) throw new Unprocessable('[Upstream]: there is no such upstream')
    return { scope: 'upstream', scopeId: found.id }
  }
}

/** The policy that the path names; NotFound for what cannot be an id. */
function policyId(request: FastifyRequest): number {
  const { policy } = request.params as { policy: string }
  if (!/^\d{1,15}$/.test(policy)) throw new NotFound('policy', policy)
  return Number(policy)
}
