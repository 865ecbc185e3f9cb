import { performance } from 'node:perf_hooks'
import { RegistryError } from '../errors.ts'
import type { DocumentRequest, UpstreamAdapter } from './adapter.ts'
import type { UpstreamClient } from './client.ts'
import { readBody } from './read-body.ts'
import type { UpstreamSettings } from './upstream-settings.ts'

/** ms for everything, and bytes of the answer. */
const PATIENCE = 15_000
const LARGEST = 64 * 1024 * 1024

/** What came of asking an upstream for one document. */
export interface Trial {
  readonly ok: boolean
  /** What was wrong; null: nothing. */
  readonly error: string | null
  /** Of the answer; null: there was none. */
  readonly status: number | null
  readonly ms: number
  /** Host that redirects led to; null: they did not, or nobody knows. */
  readonly redirectedTo: string | null
  /** Hosts that the document points to and `artifactHosts` does not allow. */
  readonly hostsToAllow: string[]
}

/**
 * Connects to an upstream, signs in and fetches a document, as if nothing had been asked of it before; nothing is kept,
 * and the client is closed. Without `packageName` it is the one that the adapter expects everywhere.
 */
export async function tryUpstream(
  client: UpstreamClient,
  settings: UpstreamSettings,
  adapter: UpstreamAdapter,
  packageName?: string,
): Promise<Trial> {
  const begun = performance.now()
  const result = { ok: false, error: null, status: null, redirectedTo: null, hostsToAllow: [] }
  const finish = (more: Partial<Trial>): Trial => ({ ...result, ...more, ms: Math.round(performance.now() - begun) })
  try {
    const document = packageName === undefined ? adapter.sample?.() : adapter.nameDocument(packageName)
    if (document === undefined) return finish({ error: 'name a package that the upstream has' })
    return finish(await fetchSample(client, settings, document))
  } catch (error) {
    if (error instanceof RegistryError) return finish({ error: error.message })
    throw error
  } finally {
    await client.close()
  }
}

async function fetchSample(
  client: UpstreamClient,
  settings: UpstreamSettings,
  document: DocumentRequest<NonNullable<unknown>>,
): Promise<Partial<Trial>> {
  const response = await client.send({
    url: new URL(document.path, settings.url),
    headers: { accept: document.accept, 'accept-encoding': 'identity' },
    use: 'document',
    headersTimeout: PATIENCE,
    signal: AbortSignal.timeout(PATIENCE),
  })
  const { status } = response
  const answer = { status, redirectedTo: response.url.host === settings.url.host ? null : response.url.host }
  if (status !== 200) {
    response.body.destroy()
    const hint = response.isAbsence ? `: it has no ${document.key}; name a package that it has` : ''
    return { ...answer, error: `the upstream answered ${status}${hint}` }
  }
  const body = await readBody(response, LARGEST).catch(() => null)
  if (body === null) return { ...answer, error: 'the answer was cut, or is too large' }
  try {
    const hosts = new Set((document.links?.(document.parse(body)) ?? []).flatMap((url) => foreignHost(url, settings)))
    return { ...answer, ok: true, hostsToAllow: [...hosts].slice(0, 20) }
  } catch (error) {
    return { ...answer, error: `the answer is not what was asked for: ${(error as Error).message.slice(0, 200)}` }
  }
}

function foreignHost(text: string, { url: base, artifactHosts }: UpstreamSettings): string[] {
  const url = URL.canParse(text, base.href) ? new URL(text, base) : null
  if (url === null || url.origin === base.origin) return []
  return artifactHosts.includes(url.host) || artifactHosts.includes(url.hostname) ? [] : [url.host]
}
