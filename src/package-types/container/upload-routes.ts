import type { FastifyReply } from 'fastify'
import { Invalid, QuotaExceeded, TooLarge } from '../../errors.ts'
import { findOwnerRefusal } from '../../http/access.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { rawBody } from '../../http/raw-body.ts'
import type { UploadSession } from '../../packages/upload-sessions.ts'
import { type Digest, parseDigest } from '../../storage/digest.ts'
import type { SpoolEntry } from '../../storage/spool-entry.ts'
import { fileBlob, type PushTarget } from './blobs.ts'
import type { Call } from './call.ts'
import { type Chunk, checkOrder, readChunk } from './chunk.ts'
import { repositoryPath } from './location.ts'
import { mountBlob } from './mounts.ts'
import { CONTAINER } from './names.ts'
import { formatDigest, requireDigest } from './path.ts'

const ALGORITHMS: readonly unknown[] = [undefined, 'sha256', 'sha512']

type UploadCall = Call<'uploads'> | Call<'upload'>
/** A parameter that is repeated is a list. */
type Query = Partial<Record<'digest' | 'digest-algorithm' | 'mount' | 'from', string | string[]>>

/** `POST /v2/{name}/blobs/uploads/`: begins an upload, or mounts or takes a whole blob (container.md §4). */
export async function startUpload(call: Call<'uploads'>): Promise<FastifyReply> {
  const { request } = call
  const { services } = request.server
  const { mount, from, digest, 'digest-algorithm': algorithm } = request.query as Query
  if (!ALGORITHMS.includes(algorithm)) throw new Invalid('digest-algorithm must be sha256 or sha512', 'digest')
  const mounted = typeof mount === 'string' ? parseDigest(mount) : null
  if (mounted !== null && (from === undefined || typeof from === 'string')) {
    if (await mountBlob(services, request.doer, targetOf(call), mounted, from || null)) return created(call, mounted)
  }
  if (digest === undefined) {
    await services.packages.quota.checkUploads(request.doer.user, call.owner)
    return accepted(call, await services.packages.uploads.open(bindingOf(call)))
  }
  const promised = requireOne(digest)
  const chunk = readChunk(request.headers)
  checkOrder(chunk, 0)
  const content = await receiveWhole(call, chunk, 0)
  await fileBlob(services, targetOf(call), content, promised).finally(() => content.discard())
  return created(call, promised)
}

/** `PATCH` of an upload: more bytes of it. A body that breaks off is kept as far as it came. */
export async function appendToUpload(call: Call<'upload'>): Promise<FastifyReply> {
  const { uploads } = call.request.server.services.packages
  const session = await sessionOf(call)
  const chunk = readChunk(call.request.headers)
  checkOrder(chunk, session.size)
  const { entry, failure } = await receive(call, chunk, session.size)
  try {
    if (failure === null) checkLength(chunk, entry)
    const grown = entry.size === 0 ? session : await uploads.append(session, entry)
    if (failure !== null) throw failure
    return accepted(call, grown)
  } finally {
    await entry.discard()
  }
}

/**
 * `PUT` of an upload with its digest, and with its last bytes or all of them: makes it a blob. When that fails the
 * upload is as it was.
 */
export async function finishUpload(call: Call<'upload'>): Promise<FastifyReply> {
  const { services } = call.request.server
  const { uploads } = services.packages
  const session = await sessionOf(call)
  const digest = requireOne((call.request.query as Query).digest)
  const chunk = readChunk(call.request.headers)
  checkOrder(chunk, session.size)
  const last = await receiveWhole(call, chunk, session.size)
  try {
    const content = await uploads.content(session, last)
    await fileBlob(services, targetOf(call), content, digest, ({ transaction }) =>
      uploads.end(session, transaction),
    ).finally(() => content.discard())
  } finally {
    await last.discard()
  }
  await uploads.release(session.id)
  return created(call, digest)
}

/** `DELETE` of an upload: gives it up. */
export async function cancelUpload(call: Call<'upload'>): Promise<FastifyReply> {
  await call.request.server.services.packages.uploads.cancel(await sessionOf(call))
  return call.reply.code(204).header('cache-control', cacheControl.noStore).send()
}

/** `GET` of an upload: how far it is. Only who may push is told; others are asked to sign in for that. */
export async function sendUploadStatus(call: Call<'upload'>): Promise<FastifyReply> {
  const { request, owner, name } = call
  const target = { owner: request.target?.hiddenOwner ?? owner, type: CONTAINER, name }
  const refusal = await findOwnerRefusal(request.server.services, request.doer, target, 'write')
  if (refusal !== null) throw refusal
  return sendProgress(call, await sessionOf(call), 204)
}

function bindingOf({ request, owner, name }: UploadCall) {
  return { userId: request.doer.user?.id ?? 0, ownerId: owner.id, name }
}

function targetOf({ request, owner, name }: UploadCall): PushTarget {
  return { owner, name, doer: request.doer.user }
}

function sessionOf(call: Call<'upload'>): Promise<UploadSession> {
  return call.request.server.services.packages.uploads.get(call.resource.id, bindingOf(call))
}

function requireOne(digest: string | string[] | undefined): Digest {
  if (typeof digest !== 'string') throw new Invalid('exactly one digest is needed', 'digest')
  return requireDigest(digest)
}

/** The body of a request for an upload with `received` bytes; what is over a quota is refused as early as it is known. */
async function receive({ request, owner }: UploadCall, chunk: Chunk, received: number) {
  const { spool, quota } = request.server.services.packages
  const { limit, limitMessage } = await quota.room(request.doer.user, owner, CONTAINER, received)
  if (received + (chunk.length ?? 0) > limit) throw new QuotaExceeded(limitMessage)
  try {
    return await spool.receiveSome(rawBody(request), { limit: limit - received, limitMessage })
  } catch (error) {
    // One status for one reason, whether the size was announced or not.
    if (error instanceof TooLarge) throw new QuotaExceeded(error.message, 'size', error)
    throw error
  }
}

async function receiveWhole(call: UploadCall, chunk: Chunk, received: number): Promise<SpoolEntry> {
  const { entry, failure } = await receive(call, chunk, received)
  try {
    if (failure !== null) throw failure
    checkLength(chunk, entry)
    return entry
  } catch (error) {
    await entry.discard()
    throw error
  }
}

/** A body in transfer chunks tells its length only by its end. */
function checkLength({ length }: Chunk, { size }: SpoolEntry): void {
  if (length !== null && length !== size) {
    throw new Invalid(`Content-Range speaks of ${length} bytes and ${size} came`, 'size')
  }
}

function accepted(call: UploadCall, session: UploadSession): FastifyReply {
  return sendProgress(call, session, 202)
}

/** An empty upload has no range of its own in this protocol: it looks like one of one byte. */
function sendProgress(call: UploadCall, { id, size }: UploadSession, status: 202 | 204): FastifyReply {
  return call.reply
    .code(status)
    .headers({
      location: `${repositoryPath(call)}/blobs/uploads/${id}`,
      range: `0-${Math.max(0, size - 1)}`,
      'docker-upload-uuid': id,
      'cache-control': cacheControl.noStore,
    })
    .send()
}

function created(call: UploadCall, digest: Digest): FastifyReply {
  const text = formatDigest(digest)
  return call.reply
    .code(201)
    .headers({
      location: `${repositoryPath(call)}/blobs/${text}`,
      'docker-content-digest': text,
      'cache-control': cacheControl.noStore,
    })
    .send()
}
