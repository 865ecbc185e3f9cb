import type { FastifyReply, FastifyRequest } from 'fastify'
import { Invalid, TooLarge } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { readBody } from '../../http/raw-body.ts'
import { sendFile } from '../../http/send-file.ts'
import type { Call } from './call.ts'
import { repositoryPath } from './location.ts'
import { MAX_MANIFEST } from './manifest-document.ts'
import { pushManifest, removeManifest } from './manifests.ts'
import { isManifestType } from './media-types.ts'
import { formatDigest, parseReference, parseSought, type Reference } from './path.ts'
import { sourceOf } from './sources.ts'

/** `GET`, `HEAD /v2/{name}/manifests/{reference}` (container.md §3). What clients accept is not looked at. */
export async function sendManifest(call: Call<'manifest'>): Promise<FastifyReply> {
  const { request, reply, name, resource } = call
  const reference = parseSought(resource.reference)
  const method = request.method === 'HEAD' ? 'HEAD' : 'GET'
  const source = await sourceOf(call)
  const answer = await source.manifest(name, reference, method)
  const digest = formatDigest(answer.digest)
  if (method === 'GET' && answer.versionId !== null) {
    request.server.services.packages.downloads.count(answer.versionId)
  }
  // Some clients send the digest as it is in Docker-Content-Digest; an entity tag has quotes.
  if (request.headers['if-none-match'] === digest) request.headers['if-none-match'] = `"${digest}"`
  return sendFile(request, reply, answer.source, answer.size, {
    etag: `"${digest}"`,
    lastModified: answer.lastModified,
    contentType: answer.mediaType,
    fileName: null,
    cacheControl: answer.cacheControl,
    isPrivate: answer.cacheControl.startsWith('private'),
    extra: { 'docker-content-digest': digest, ...answer.headers },
  })
}

/** `PUT /v2/{name}/manifests/{reference}` (container.md §5). */
export async function putManifest(call: Call<'manifest'>): Promise<FastifyReply> {
  const { request, reply, owner, name, resource } = call
  const reference = parseReference(resource.reference)
  const tags = readTags(request, reference)
  const contentType = readContentType(request)
  const bytes = await readManifest(request)
  const target = { owner, name, doer: request.doer.user }
  const pushed = await pushManifest(request.server.services, { ...target, reference, tags, contentType, bytes })
  if (pushed.subject !== null) reply.header('oci-subject', pushed.subject)
  if (tags.length > 0) reply.header('oci-tag', tags)
  return reply
    .code(201)
    .headers({
      location: `${repositoryPath(call)}/manifests/${pushed.digest}`,
      'docker-content-digest': pushed.digest,
      'cache-control': cacheControl.noStore,
    })
    .send()
}

/** `DELETE /v2/{name}/manifests/{reference}` (container.md §8). */
export async function deleteManifest(call: Call<'manifest'>): Promise<FastifyReply> {
  const { request, reply, owner, name, resource } = call
  const reference = parseSought(resource.reference)
  await removeManifest(request.server.services, { owner, name, doer: request.doer.user }, reference)
  return reply.code(202).header('cache-control', cacheControl.noStore).send()
}

/** Tags beside the digest in the path (end-7b). Throws Invalid('tag'). */
function readTags(request: FastifyRequest, reference: Reference): string[] {
  const { tag = [] } = request.query as { tag?: string | string[] }
  const tags = [...new Set([tag].flat())]
  if (tags.length > 0 && 'tag' in reference) throw new Invalid('?tag= is for manifests put by digest', 'tag')
  for (const tag of tags) {
    if (!('tag' in parseReference(tag))) throw new Invalid('?tag= takes tags only', 'tag')
  }
  return tags
}

/** Without parameters; null: none was sent, the manifest says what it is. */
function readContentType({ headers }: FastifyRequest): string | null {
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase() ?? ''
  if (type === '') return null
  if (!isManifestType(type)) throw new Invalid(`manifests of type ${type.slice(0, 100)} are not supported`, 'manifest')
  return type
}

async function readManifest(request: FastifyRequest): Promise<Buffer> {
  try {
    return await readBody(request, MAX_MANIFEST)
  } catch (error) {
    if (error instanceof TooLarge) throw new TooLarge(`manifests have at most ${MAX_MANIFEST} bytes`, 'manifest')
    throw error
  }
}
