import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { DeliverySchema, FullDeliverySchema, toDeliveryJson, toFullDeliveryJson } from './hook-json.ts'
import { hookId, hookPlaces, requireOpenHooks } from './hook-places.ts'

/** What was delivered to a hook and what became of it; tests, and deliveries once more. Not in Gitea's API. */
export const hookDeliveries: FastifyPluginAsyncTypebox = async (app) => {
  const { webhooks } = app.services
  app.addHook('preValidation', requireOpenHooks)

  for (const { prefix, access, scope, parameters, find } of hookPlaces) {
    const config = { access, scope }
    const ofHook = Type.Object({ ...parameters, hook: Type.String() })
    const ofDelivery = Type.Object({ ...ofHook.properties, delivery: Type.String({ maxLength: 64 }) })

    app.post(
      `${prefix}/:hook/tests`,
      { config, schema: { summary: 'Send a test to a webhook', params: ofHook } },
      async (request, reply) => {
        const { place, owner } = await find(request)
        await webhooks.test(place, hookId(request), owner, request.doer.user!)
        return reply.code(204).send()
      },
    )

    app.get(
      `${prefix}/:hook/deliveries`,
      {
        config,
        schema: {
          summary: 'List the deliveries to a webhook, newest first',
          params: ofHook,
          querystring: Type.Object(pagingParameters),
          response: { 200: Type.Array(DeliverySchema) },
        },
      },
      async (request, reply) => {
        const { id } = await webhooks.hooks.get((await find(request)).place, hookId(request))
        const paging = readPaging(request.query)
        const { total, tasks } = await webhooks.tasks.list(id, paging)
        setPagingHeaders(request, reply, paging, total)
        return tasks.map(toDeliveryJson)
      },
    )

    app.get(
      `${prefix}/:hook/deliveries/:delivery`,
      {
        config,
        schema: {
          summary: 'Get a delivery with what was sent and answered',
          params: ofDelivery,
          response: { 200: FullDeliverySchema },
        },
      },
      async (request) => {
        const { id } = await webhooks.hooks.get((await find(request)).place, hookId(request))
        return toFullDeliveryJson(await webhooks.tasks.get(id, (request.params as { delivery: string }).delivery))
      },
    )

    app.post(
      `${prefix}/:hook/deliveries/:delivery/redeliver`,
      { config: { ...config, answers: [202] }, schema: { summary: 'Deliver once more', params: ofDelivery } },
      async (request, reply) => {
        const { delivery } = request.params as { delivery: string }
        await webhooks.redeliver((await find(request)).place, hookId(request), delivery)
        return reply.code(202).send()
      },
    )
  }
}
