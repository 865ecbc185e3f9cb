import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { Invalid } from '../../errors.ts'
import { rawBody, readBody } from '../../http/raw-body.ts'
import { pathOf } from './address.ts'
import { announceSnapshot, checkChecksum, deployFile, namePlugins } from './deploy.ts'

const MAX_CHECKSUM = 4 * 1024
const MAX_METADATA = 8 * 1024 * 1024
const schema = { querystring: Type.Object({ confirm_shadow: Type.Optional(Type.Boolean()) }) }

/** `PUT` of files, their checksums and metadata (maven.md §2). */
export const deployRoutes: FastifyPluginAsyncTypebox = async (scope) => {
  // Whatever type a client gives, the name decides; and Fastify would refuse one that is no media type at all.
  scope.addHook('onRequest', async ({ raw: { headers } }) => {
    delete headers['content-type']
  })

  scope.put('/*', { config: { access: 'write' }, schema }, async (request, reply) => {
    const { services } = scope
    const { owner } = request.target!
    const parsed = pathOf(request)
    if (parsed === null || parsed.path.kind === 'root') {
      throw new Invalid('this is no path of a file in a Maven repository', 'file')
    }
    const { path, checksum } = parsed
    if (checksum !== null) {
      const text = (await readBody(request, MAX_CHECKSUM)).toString('latin1')
      // That of metadata is of the client's document, which is not the one that is here (maven.md §4).
      if (path.kind === 'file') await checkChecksum(services, owner, path, checksum, text)
      return reply.code(200).send()
    }
    if (path.kind === 'file') {
      const header = request.headers['content-length']
      const length = header === undefined ? null : Number(header)
      const confirmsShadow = request.query.confirm_shadow === true
      const deployer = { owner, creator: request.doer.user, confirmsShadow }
      await deployFile(services, deployer, path, rawBody(request), length)
      return reply.code(201).send()
    }
    const bytes = await readBody(request, MAX_METADATA)
    if (path.kind === 'metadata') {
      await namePlugins(services, { owner, doer: request.doer }, path, bytes)
      return reply.code(200).send()
    }
    await announceSnapshot(services, owner, path, bytes)
    return reply.code(201).send()
  })
}
