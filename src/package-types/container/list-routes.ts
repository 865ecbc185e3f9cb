import type { FastifyReply } from 'fastify'
import { addressOf } from './address.ts'
import type { Call } from './call.ts'
import { repositoryPath } from './location.ts'
import { OCI_INDEX } from './media-types.ts'
import { nextPage, readLast, readPage } from './pages.ts'
import { formatDigest, requireDigest } from './path.ts'
import { renderReferrers } from './referrers.ts'
import type { AnswerHeaders } from './source.ts'
import { sourceOf } from './sources.ts'

/** `GET /v2/{name}/tags/list` (container.md §6). */
export async function sendTags(call: Call<'tags'>): Promise<FastifyReply> {
  const { request, reply, name } = call
  const query = request.query as object
  const page = readPage(query)
  const source = await sourceOf(call)
  const answer = await source.tags(name, page)
  const last = answer.names.at(-1)
  if (answer.hasMore && last !== undefined) {
    reply.headers(nextPage(`${repositoryPath(call)}/tags/list`, query, last))
  }
  return withHeaders(reply, answer).send({ name: addressOf(request)!.shown, tags: answer.names })
}

/** `GET /v2/{name}/referrers/{digest}` (container.md §7). */
export async function sendReferrers(call: Call<'referrers'>): Promise<FastifyReply> {
  const { request, reply, name, resource } = call
  const query = request.query as { artifactType?: string | string[] }
  const subject = requireDigest(resource.digest)
  const last = readLast(query)
  const source = await sourceOf(call)
  const answer = await source.referrers(name, subject, last)
  const end = answer.manifests.at(-1)
  if (answer.hasMore === true && end !== undefined) {
    const path = `${repositoryPath(call)}/referrers/${formatDigest(subject)}`
    reply.headers(nextPage(path, query, end.digest))
  }
  const wanted = [query.artifactType ?? []].flat().filter(Boolean)
  if (wanted.length > 0) reply.header('oci-filters-applied', 'artifactType')
  const shown = answer.manifests.filter(
    ({ artifactType }) => wanted.length === 0 || (artifactType !== undefined && wanted.includes(artifactType)),
  )
  return withHeaders(reply, answer).header('content-type', OCI_INDEX).send(renderReferrers(shown))
}

function withHeaders(reply: FastifyReply, { headers, cacheControl }: AnswerHeaders): FastifyReply {
  if (cacheControl.startsWith('private')) reply.header('vary', 'Authorization')
  return reply.headers(headers).header('cache-control', cacheControl)
}
