import type { FastifyReply } from 'fastify'
import type { Call } from './call.ts'

export async function startUpload(_call: Call<'uploads'>): Promise<FastifyReply> {
  throw new Error('startUpload is to be written')
}

export async function appendToUpload(_call: Call<'upload'>): Promise<FastifyReply> {
  throw new Error('appendToUpload is to be written')
}

export async function finishUpload(_call: Call<'upload'>): Promise<FastifyReply> {
  throw new Error('finishUpload is to be written')
}

export async function cancelUpload(_call: Call<'upload'>): Promise<FastifyReply> {
  throw new Error('cancelUpload is to be written')
}

export async function sendUploadStatus(_call: Call<'upload'>): Promise<FastifyReply> {
  throw new Error('sendUploadStatus is to be written')
}
