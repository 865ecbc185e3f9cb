import type { FastifyReply } from 'fastify'
import { sendFile } from '../../http/send-file.ts'
import { removeBlob } from './blobs.ts'
import type { Call } from './call.ts'
import { formatDigest, requireDigest } from './path.ts'
import { sourceOf } from './sources.ts'

/** `GET`, `HEAD /v2/{name}/blobs/{digest}` (container.md §3). */
export async function sendBlob(call: Call<'blob'>): Promise<FastifyReply> {
  const { request, reply, name, resource } = call
  const digest = requireDigest(resource.digest)
  const source = await sourceOf(call)
  const answer = await source.blob(name, digest, request.method === 'HEAD' ? 'HEAD' : 'GET')
  const asked = formatDigest(answer.digest)
  return sendFile(request, reply, answer.source, answer.size, {
    etag: `"${asked}"`,
    lastModified: answer.lastModified,
    contentType: answer.mediaType,
    fileName: null,
    cacheControl: answer.cacheControl,
    isPrivate: answer.cacheControl.startsWith('private'),
    extra: { 'docker-content-digest': asked, ...answer.headers },
  })
}

/** `DELETE /v2/{name}/blobs/{digest}` (container.md §8). */
export async function deleteBlob(call: Call<'blob'>): Promise<FastifyReply> {
  const { request, reply, owner, name, resource } = call
  const digest = requireDigest(resource.digest)
  await removeBlob(request.server.services, { owner, name, doer: request.doer.user }, digest)
  return reply.code(202).send()
}
