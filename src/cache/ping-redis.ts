/** Throws unless Redis answers within so many ms. */
export async function pingRedis(url: string, limit: number): Promise<void> {
  const { createClient } = await import('@keyv/redis')
  const client = createClient({ url, socket: { connectTimeout: limit, reconnectStrategy: false } })
  // The rejection says the same.
  client.on('error', () => {})
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${limit / 1_000} s`)), limit)
  })
  try {
    await Promise.race([client.connect().then(() => client.ping()), late])
  } finally {
    clearTimeout(timer)
    if (client.isOpen) client.destroy()
  }
}
