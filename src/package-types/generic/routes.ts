import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { cacheControl } from '../../http/cache-control.ts'
import { isPublicPackage } from '../../http/package-visibility.ts'
import { sendFile } from '../../http/send-file.ts'
import { reprDigest } from './content-digest.ts'
import { deleteFile, deleteVersion, GENERIC, getFile, openFile } from './files.ts'
import { filePath, fileUrl, versionPath, versionUrl } from './paths.ts'
import { uploadRoutes } from './upload-routes.ts'

/** Everything below `/api/packages/{owner}/generic` (generic.md §1). */
export const routes: FastifyPluginAsyncTypebox = async (scope) => {
  const { packages } = scope.services
  // A scope of its own: the hooks of the form parser run for every request of theirs.
  await scope.register(uploadRoutes)

  scope.route({
    method: ['GET', 'HEAD'],
    url: fileUrl,
    config: { access: 'read' },
    schema: { params: filePath },
    handler: async (request, reply) => {
      const { owner } = request.target!
      const record = await getFile(packages, owner, request.params)
      const { file, blob, version } = record
      if (request.method === 'GET' && file.isLead) packages.downloads.count(version.id)
      const isPublic = await isPublicPackage(scope.services, owner, GENERIC, request.params.name)
      return sendFile(request, reply, () => openFile(packages, record), blob.size, {
        etag: `"sha256:${blob.hashSha256}"`,
        lastModified: file.createdAt,
        // Never what the uploader said: a stored page must not run here.
        contentType: 'application/octet-stream',
        fileName: file.name,
        // Not immutable: the file can be deleted and uploaded again with other bytes.
        cacheControl: cacheControl.hosted(isPublic),
        isPrivate: !isPublic,
        extra: { 'repr-digest': reprDigest(blob.hashSha256) },
      })
    },
  })

  scope.delete(fileUrl, { config: { access: 'write' }, schema: { params: filePath } }, async (request, reply) => {
    await deleteFile(packages, request.target!.owner, request.doer.user, request.params)
    return reply.code(204).send()
  })

  scope.delete(versionUrl, { config: { access: 'write' }, schema: { params: versionPath } }, async (request, reply) => {
    await deleteVersion(packages, request.target!.owner, request.doer.user, request.params)
    return reply.code(204).send()
  })
}
