import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { MethodNotAllowed, NotFound } from '../../errors.ts'
import { sendDocument } from '../../http/send-document.ts'
import { type FileHeaders, sendFile } from '../../http/send-file.ts'
import { pathOf } from './address.ts'
import type { FilePath, ParsedPath } from './coordinates.ts'
import { deployRoutes } from './deploy-routes.ts'
import { contentTypeOf } from './files.ts'
import { checksumHeaders, textSource } from './responses.ts'
import type { AnswerHeaders, MavenSource } from './source.ts'
import { Sources } from './sources.ts'

/** A Maven repository, below `/api/packages/:owner/maven` (maven.md §2). */
export const routes: FastifyPluginAsyncTypebox = async (app) => {
  const sources = new Sources(app.services)
  // A scope of its own: its hook runs for every request of it.
  await app.register(deployRoutes)

  app.route({
    method: ['GET', 'HEAD'],
    url: '/*',
    config: { access: 'read' },
    handler: async (request, reply) => {
      const parsed = pathOf(request)
      if (parsed === null) throw new NotFound('file')
      const method = request.method === 'HEAD' ? 'HEAD' : 'GET'
      const source = await sources.find(request.doer, request.target!, parsed.path, method)
      if (parsed.checksum !== null) return sendChecksum(request, reply, source, parsed)
      if (parsed.path.kind === 'file') return sendArtifact(request, reply, source, parsed.path)
      const { document, digests, headers, cacheControl } = await source.document(parsed.path)
      // What is generated anew between document and checksum would not agree.
      reply.headers({ ...headers, ...checksumHeaders(digests) })
      return sendDocument(request, reply, document, cacheControl)
    },
  })

  app.route({
    method: ['DELETE', 'PATCH', 'POST'],
    url: '/*',
    config: { access: 'write' },
    handler: async () => {
      throw new MethodNotAllowed('versions are deleted by the REST API, and files with their version')
    },
  })
}

async function sendArtifact(
  request: FastifyRequest,
  reply: FastifyReply,
  source: MavenSource,
  path: FilePath,
): Promise<FastifyReply> {
  const answer = await source.file(path)
  const { downloads } = request.server.services.packages
  if (request.method === 'GET' && answer.versionId !== null) downloads.count(answer.versionId)
  return sendFile(request, reply, answer.source, answer.size, {
    etag: answer.etag,
    lastModified: answer.lastModified,
    contentType: contentTypeOf(path.filename),
    ...common(answer, checksumHeaders(answer.digests)),
  })
}

async function sendChecksum(
  request: FastifyRequest,
  reply: FastifyReply,
  source: MavenSource,
  { path, checksum }: ParsedPath,
): Promise<FastifyReply> {
  const algorithm = checksum!
  const { hex, ...answer } =
    path.kind === 'file'
      ? await source.checksum(path, algorithm)
      : await source.document(path).then(({ digests, ...rest }) => ({ hex: digests[algorithm], ...rest }))
  const text = textSource(hex)
  return sendFile(request, reply, text, text.size, {
    etag: `"${algorithm}:${hex}"`,
    lastModified: null,
    contentType: 'text/plain; charset=utf-8',
    ...common(answer, {}),
  })
}

/** No Content-Disposition: nobody opens these in a browser, and clients know the name. */
function common(
  { headers, cacheControl }: AnswerHeaders,
  extra: Record<string, string>,
): Pick<FileHeaders, 'fileName' | 'cacheControl' | 'isPrivate' | 'extra'> {
  return {
    fileName: null,
    cacheControl,
    isPrivate: cacheControl.startsWith('private'),
    extra: { ...headers, ...extra },
  }
}
