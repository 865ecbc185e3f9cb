import multipart from '@fastify/multipart'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { Owner } from '../../auth/owner.ts'
import { Invalid, RegistryError } from '../../errors.ts'
import { rawBody } from '../../http/raw-body.ts'
import type { Packages } from '../../packages/index.ts'
import type { UploadTarget } from '../../packages/receive-upload.ts'
import type { SpoolEntry } from '../../storage/spool.ts'
import { checkDigests, promisedDigests } from './content-digest.ts'
import { addFile, GENERIC } from './files.ts'
import { checkPath } from './names.ts'
import { filePath, fileUrl } from './paths.ts'

const IDLE_MS = 60_000

/** `PUT /{name}/{version}/{file}`: the body, or the first file of a form, becomes a file (generic.md §3). */
export const uploadRoutes: FastifyPluginAsyncTypebox = async (scope) => {
  // The spool sets the limit of the file; what else a form carries is dropped and small.
  const limits = { fileSize: Number.POSITIVE_INFINITY, fieldSize: 64 * 1024, fields: 100, parts: 200 }
  await scope.register(multipart, { limits })
  // Only forms are told apart. Any other type says nothing, and Fastify would refuse one that is no media type at all.
  scope.addHook('onRequest', async ({ raw: { headers } }) => {
    if (!headers['content-type']?.toLowerCase().startsWith('multipart/form-data')) delete headers['content-type']
  })

  scope.put(fileUrl, { config: { access: 'write' }, schema: { params: filePath } }, async (request, reply) => {
    const { packages } = scope.services
    const { owner } = request.target!
    const creator = request.doer.user
    checkPath(request.params)
    const promised = readPromises(request)
    const content = await receive(packages, request, owner, creator)
    try {
      checkDigests(promised, content.digests)
      await addFile(packages, owner, creator, request.params, content)
    } finally {
      await content.discard()
    }
    return reply.code(201).send()
  })
}

function readPromises(request: FastifyRequest) {
  const { 'content-digest': contentDigest, digest } = request.headers as Record<string, string | undefined>
  const promised = promisedDigests(contentDigest, digest)
  if (promised.length > 0 && request.isMultipart()) {
    throw new Invalid('the digest of a form says nothing about the file in it: send the file as the body', 'body')
  }
  return promised
}

/** The bytes of the file; what is over the limits of the type or the owner is refused as early as it is known. */
function receive(
  packages: Packages,
  request: FastifyRequest,
  owner: Owner,
  creator: Owner | null,
): Promise<SpoolEntry> {
  const target = { creator, owner, type: GENERIC }
  if (request.isMultipart()) return receiveForm(packages, request, target)
  const length = request.headers['content-length']
  return packages.receive(target, rawBody(request), length === undefined ? null : Number(length))
}

async function receiveForm(packages: Packages, request: FastifyRequest, target: UploadTarget): Promise<SpoolEntry> {
  // The spool watches over the file only; a form can stop before it.
  const timer = setTimeout(() => request.raw.destroy(), IDLE_MS)
  const restart = () => timer.refresh()
  request.raw.on('data', restart)
  try {
    for await (const part of request.parts()) {
      if (part.type === 'file') return await packages.receive(target, part.file, null)
    }
  } catch (error) {
    if (error instanceof RegistryError) throw error
    throw new Invalid('the form cannot be read', 'body', error)
  } finally {
    clearTimeout(timer)
    request.raw.off('data', restart)
    // Whatever else the client sends is dropped, so that it comes to read the answer.
    request.raw.unpipe()
    request.raw.resume()
  }
  throw new Invalid('the form has no file', 'body')
}
