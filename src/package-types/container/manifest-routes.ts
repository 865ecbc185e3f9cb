import type { FastifyReply } from 'fastify'
import type { Call } from './call.ts'

export async function sendManifest(_call: Call<'manifest'>): Promise<FastifyReply> {
  throw new Error('sendManifest is to be written')
}

export async function putManifest(_call: Call<'manifest'>): Promise<FastifyReply> {
  throw new Error('putManifest is to be written')
}

export async function deleteManifest(_call: Call<'manifest'>): Promise<FastifyReply> {
  throw new Error('deleteManifest is to be written')
}
