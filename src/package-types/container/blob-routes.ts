import type { FastifyReply } from 'fastify'
import type { Call } from './call.ts'

export async function sendBlob(_call: Call<'blob'>): Promise<FastifyReply> {
  throw new Error('sendBlob is to be written')
}

export async function deleteBlob(_call: Call<'blob'>): Promise<FastifyReply> {
  throw new Error('deleteBlob is to be written')
}
