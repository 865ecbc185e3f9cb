import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Action } from '../../auth/grants.ts'
import { MethodNotAllowed, NotFound } from '../../errors.ts'
import { addressOf } from './address.ts'
import { deleteBlob, sendBlob } from './blob-routes.ts'
import type { Call } from './call.ts'
import { catalogRoutes } from './catalog-routes.ts'
import { sendReferrers, sendTags } from './list-routes.ts'
import { deleteManifest, putManifest, sendManifest } from './manifest-routes.ts'
import type { Resource } from './path.ts'
import { rootRoutes } from './root-routes.ts'
import { appendToUpload, cancelUpload, finishUpload, sendUploadStatus, startUpload } from './upload-routes.ts'

type Handlers = { [Kind in Resource['kind']]?: (call: Call<Kind>) => Promise<FastifyReply> }

const reading: Handlers = {
  manifest: sendManifest,
  blob: sendBlob,
  upload: sendUploadStatus,
  tags: sendTags,
  referrers: sendReferrers,
}
const deleting: Handlers = { manifest: deleteManifest, blob: deleteBlob, upload: cancelUpload }
const putting: Handlers = { manifest: putManifest, upload: finishUpload }

/** Everything below `/v2`, at the root and behind `/mirror/{mirror}` (container.md §2). */
export const routes: FastifyPluginAsyncTypebox = async (scope) => {
  scope.addHook('onRequest', async (_request, reply) => {
    reply.header('docker-distribution-api-version', 'registry/2.0')
  })
  await scope.register(rootRoutes)
  await scope.register(catalogRoutes)
  // One wildcard: names contain slashes, which no parameter of the router crosses.
  const read = { config: { access: 'read', acceptsRegistryTokens: true } } as const
  const write = { config: { access: 'write', acceptsRegistryTokens: true } } as const
  const registryAction = deletingAction
  const remove = { config: { access: 'remove', acceptsRegistryTokens: true, registryAction } } as const
  scope.route({ method: ['GET', 'HEAD'], url: '/*', ...read, handler: dispatch(reading) })
  scope.post('/*', write, dispatch({ uploads: startUpload }))
  scope.patch('/*', write, dispatch({ upload: appendToUpload }))
  scope.put('/*', write, dispatch(putting))
  scope.delete('/*', remove, dispatch(deleting))
}

/** Whoever may push may give up his upload. */
function deletingAction(request: FastifyRequest): Action {
  return addressOf(request)?.resource.kind === 'upload' ? 'push' : 'delete'
}

function dispatch(handlers: Handlers) {
  return async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    const address = addressOf(request)
    const { target } = request
    if (address === null || target === null || target.name === null) throw new NotFound('route')
    const handler = handlers[address.resource.kind] as ((call: Call) => Promise<FastifyReply>) | undefined
    if (handler === undefined) throw new MethodNotAllowed(`${request.method} is not for ${address.resource.kind}`)
    return handler({ request, reply, owner: target.owner, name: target.name, resource: address.resource as never })
  }
}
