import type { UpstreamResponse } from './exchange.ts'

/** The whole body, or null as soon as it is over `limit` bytes. Throws what the transfer failed of. */
export async function readBody(response: UpstreamResponse, limit: number): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let size = 0
  try {
    for await (const chunk of response.body as AsyncIterable<Buffer>) {
      size += chunk.length
      if (size > limit) return null
      chunks.push(chunk)
    }
  } catch (error) {
    response.bodyFailed()
    throw error
  }
  response.bodyRead()
  return Buffer.concat(chunks)
}
