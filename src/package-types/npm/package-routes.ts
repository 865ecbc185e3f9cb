import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import type { Owner } from '../../auth/owner.ts'
import { Forbidden, Invalid, NotFound, TooLarge } from '../../errors.ts'
import { cacheControl } from '../../http/cache-control.ts'
import { cacheWishesOf } from '../../http/cache-wishes.ts'
import { checkMayMakePrivate, isPublicPackage, setVisibility } from '../../http/package-visibility.ts'
import { rawBody, readBody, readJson } from '../../http/raw-body.ts'
import { sendDocument } from '../../http/send-document.ts'
import { sendFile } from '../../http/send-file.ts'
import { deprecate } from './deprecate.ts'
import { removeTag, setTag } from './dist-tags.ts'
import { isObject } from './metadata.ts'
import { type PackagePath, parsePackagePath, tarballFile } from './names.ts'
import { readAccess } from './package-access.ts'
import { preferredForm } from './packument.ts'
import { AnsweredPublishes, publish } from './publish.ts'
import { readPublishBody } from './publish-body.ts'
import type { DocumentAnswer, NpmSource, TarballAnswer } from './source.ts'
import { Sources } from './sources.ts'
import { applyDocument, removePackage, removeTarball } from './unpublish.ts'

const MAX_DOCUMENT = 32 * 1024 * 1024
/** Bytes of a body that says one thing. */
const MAX_WORD = 4 * 1024
/** What is around the base64 of a tarball in a publish document, at most. */
const PUBLISH_OVERHEAD = 64 * 1024
const MAX_PUBLISH = 1024 * 1024 * 1024

// A wildcard, decoded once, instead of `/:name` and `/@:scope/:name`: for the router `/@a%2fb/1.0.0` is the scope
// `a/b` with the name `1.0.0`, and `/%40a/b` the name `@a` with the version `b`. names.ts reads all forms alike.
const schema = { params: Type.Object({ owner: Type.String(), '*': Type.String() }) }
const putQuery = Type.Object({ confirm_shadow: Type.Optional(Type.Boolean()) })

/** Packages, their files and their tags (npm.md §2). */
export const packageRoutes: FastifyPluginAsyncTypebox = async (app) => {
  const { services } = app
  const sources = new Sources(services)
  const answered = new AnsweredPublishes()

  app.route({
    method: ['GET', 'HEAD'],
    url: '/*',
    config: { access: 'read' },
    schema: { ...schema, querystring: Type.Object({ write: Type.Optional(Type.String()) }) },
    handler: async (request, reply) => {
      const { name, rest } = readPath(request)
      const [first, ...others] = rest
      const file = first === '-' ? tarballFile(name, others) : null
      if (first === '-' ? file === null : others.length > 0) throw new NotFound('route')
      const source = await findSource(request, name)
      if (file !== null) return sendTarball(request, reply, await source.tarball(name, file))
      if (first !== undefined) return sendAnswer(request, reply, await source.manifest(name, first))
      // Who is about to write sends the whole document back.
      const form = request.query.write === undefined ? preferredForm(request.headers.accept) : 'full'
      return sendAnswer(request, reply, await source.packument(name, form))
    },
  })

  app.put(
    '/*',
    { config: { access: 'write' }, schema: { ...schema, querystring: putQuery } },
    async (request, reply) => {
      const { name, rest } = readPath(request)
      const confirmsShadow = request.query.confirm_shadow === true
      const target = { owner: request.target!.owner, doer: request.doer.user!, name, confirmsShadow }
      if (rest.length === 0) return putPackage(request, reply, target)
      const revision = readRevision(rest)
      if (revision === null || revision.before.length > 0) throw new NotFound('route')
      const body = await readBody(request, MAX_DOCUMENT)
      // Gitea takes an empty body for nothing to do.
      if (body.length > 0) await applyDocument(services, target, revision.revision, parseJson(body))
      return done(reply)
    },
  )

  app.delete('/*', { config: { access: 'write' }, schema }, async (request, reply) => {
    const { name, rest } = readPath(request)
    const target = { owner: request.target!.owner, doer: request.doer.user!, name }
    const revision = readRevision(rest)
    if (revision === null) throw new NotFound('route')
    const [first, ...others] = revision.before
    const file = first === '-' ? tarballFile(name, others) : null
    if (first !== undefined && file === null) throw new NotFound('route')
    await (file === null ? removePackage(services, target) : removeTarball(services, target, file))
    return done(reply)
  })

  app.route({
    method: ['GET', 'HEAD'],
    url: '/-/package/*',
    config: { access: 'read' },
    schema,
    handler: async (request, reply) => {
      const { name, rest } = readPath(request)
      const source = await findSource(request, name)
      const what = rest.join('/')
      if (what === 'dist-tags') return sendAnswer(request, reply, await source.distTags(name))
      if (what !== 'visibility' && what !== 'collaborators') throw new NotFound('route')
      // Throws where there is no such package.
      await source.packument(name, 'full')
      const { owner } = request.target!
      const isPublic = await isPublicPackage(services, owner, 'npm', name)
      if (!isPublic) reply.header('vary', 'Authorization')
      reply.header('cache-control', cacheControl.hosted(isPublic))
      if (what === 'visibility') return { public: isPublic }
      // Teams decide who may write to an organization, and who is in them is not for everybody to read.
      return owner.kind === 'user' ? { [owner.name]: 'write' } : {}
    },
  })

  app.put('/-/package/*', { config: { access: 'write' }, schema }, async (request, reply) => {
    const { name, tag } = readTagPath(request)
    await setTag(services, request.target!.owner, name, tag, await readJson(request, MAX_WORD))
    return done(reply)
  })

  app.delete('/-/package/*', { config: { access: 'write' }, schema }, async (request, reply) => {
    const { name, tag } = readTagPath(request)
    await removeTag(services, request.target!.owner, name, tag)
    return done(reply)
  })

  app.post('/-/package/*', { config: { access: 'write' }, schema }, async (request, reply) => {
    const { name, rest } = readPath(request)
    if (rest.join('/') !== 'access') throw new NotFound('route')
    const isPrivate = readAccess(await readJson(request, MAX_WORD))
    if (isPrivate === null) throw new Forbidden('whether two factors are needed is a matter of accounts', 'package')
    const { owner } = request.target!
    if (!isPrivate && !services.permissions.isPublic(owner)) {
      throw new Forbidden(`no package of ${owner.name} is public`, 'package')
    }
    await setVisibility(request, name, isPrivate)
    return done(reply)
  })

  function findSource({ doer, target, method, headers }: FastifyRequest, name: string): Promise<NpmSource> {
    const how = { method: method === 'HEAD' ? 'HEAD' : 'GET', wishes: cacheWishesOf(headers) } as const
    return sources.find(doer, target!.owner, name, how)
  }

  /** Publish, deprecate or star: one URL, told apart by the body (npm.md §4). */
  async function putPackage(
    request: FastifyRequest,
    reply: FastifyReply,
    target: { owner: Owner; doer: Owner; name: string; confirmsShadow: boolean },
  ): Promise<FastifyReply> {
    const limit = publishLimit(await services.packages.quota.typeLimit(target.owner, 'npm'))
    if (Number(request.headers['content-length'] ?? 0) > limit) {
      throw new TooLarge(`the body is over ${limit} bytes`, 'body')
    }
    if ((request.headers['content-encoding'] ?? 'identity') !== 'identity') {
      throw new Invalid('a publish document is not taken with a content encoding', 'body')
    }
    const body = await readPublishBody(rawBody(request), services.packages.spool, limit)
    try {
      const document = isObject(body.document) ? body.document : {}
      const { _attachments: attachments, versions, users } = document
      if (isObject(attachments) && Object.keys(attachments).length > 0) {
        const isPrivate = readAccess(document) === true
        if (isPrivate) checkMayMakePrivate(request.doer)
        const versionId = await publish(services, { ...target, isPrivate }, body, answered)
        reply.raw.once('finish', () => answered.add(versionId))
        return reply.code(201).send({ ok: true, success: true })
      }
      if (isObject(versions)) await deprecate(services, target.owner, target.name, versions)
      // Stars are not kept; refusing them would only disturb.
      else if (!isObject(users)) throw new Invalid('the body is no publish document', 'body')
      return done(reply)
    } finally {
      await body.discard()
    }
  }
}

function publishLimit(typeLimit: number): number {
  return Number.isFinite(typeLimit) ? 2 * typeLimit + PUBLISH_OVERHEAD : MAX_PUBLISH
}

function readPath(request: FastifyRequest): PackagePath {
  const path = parsePackagePath((request.params as { '*': string })['*'])
  if (path === null) throw new NotFound('route')
  return path
}

function readTagPath(request: FastifyRequest): { name: string; tag: string } {
  const { name, rest } = readPath(request)
  const [word, tag, ...others] = rest
  if (word !== 'dist-tags' || tag === undefined || others.length > 0) throw new NotFound('route')
  return { name, tag }
}

/** `…/-rev/<revision>`: the revision and what is before it; null for any other end. */
function readRevision(rest: readonly string[]): { before: readonly string[]; revision: string } | null {
  const revision = rest.at(-1)
  if (revision === undefined || rest.at(-2) !== '-rev') return null
  return { before: rest.slice(0, -2), revision }
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    throw new Invalid('the body is not valid JSON', 'body')
  }
}

function done(reply: FastifyReply): FastifyReply {
  return reply.header('cache-control', cacheControl.noStore).send({ ok: true })
}

function sendAnswer(
  request: FastifyRequest,
  reply: FastifyReply,
  { document, headers, cacheControl }: DocumentAnswer,
): Promise<FastifyReply> {
  return sendDocument(request, reply.headers(headers), document, cacheControl)
}

function sendTarball(request: FastifyRequest, reply: FastifyReply, answer: TarballAnswer): Promise<FastifyReply> {
  const { source, size, etag, lastModified, fileName, cacheControl, headers, versionId } = answer
  if (request.method === 'GET' && versionId !== null) request.server.services.packages.downloads.count(versionId)
  return sendFile(request, reply, source, size, {
    etag,
    lastModified,
    contentType: 'application/octet-stream',
    fileName,
    cacheControl,
    isPrivate: cacheControl.startsWith('private'),
    extra: { ...headers },
  })
}
