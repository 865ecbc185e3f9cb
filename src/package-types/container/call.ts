import type { FastifyReply, FastifyRequest } from 'fastify'
import type { Owner } from '../../auth/owner.ts'
import type { Resource } from './path.ts'

/** What a handler works on: the guard has let the request pass, and the names are valid. */
export interface Call<Kind extends Resource['kind'] = Resource['kind']> {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly owner: Owner
  /** The repository without its owner. */
  readonly name: string
  readonly resource: Extract<Resource, { kind: Kind }>
}
