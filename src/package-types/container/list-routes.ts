import type { FastifyReply } from 'fastify'
import type { Call } from './call.ts'

export async function sendTags(_call: Call<'tags'>): Promise<FastifyReply> {
  throw new Error('sendTags is to be written')
}

export async function sendReferrers(_call: Call<'referrers'>): Promise<FastifyReply> {
  throw new Error('sendReferrers is to be written')
}
