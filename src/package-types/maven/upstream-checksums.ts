import type { Config } from '../../config/config.ts'
import { UpstreamUnavailable } from '../../errors.ts'
import { type Digest, digestFromBase64 } from '../../storage/digest.ts'
import { readBody } from '../../upstream/read-body.ts'
import type { Upstream } from '../../upstream/upstreams.ts'
import { parseChecksum } from './checksums.ts'

type Headers = Readonly<Record<string, string>>

/** Before the algorithm in the names of headers: Central and Artifactory, Google's storage, Amazon's. */
const HEADERS = ['x-checksum-', 'x-goog-meta-checksum-', 'x-amz-meta-checksum-']
const FROM_HEADERS = ['sha256', 'sha1', 'md5'] as const
/** What every repository has beside its files, best first. */
const SIDECARS = ['sha1', 'md5'] as const
/** Bytes; no checksum with its file name is longer. */
const LARGEST_SIDECAR = 4 * 1024

/** What the headers (lower-case names) of an answer say of its body; null: nothing (maven.md §6.2). */
export function digestInHeaders(headers: Headers): Digest | null {
  for (const algorithm of FROM_HEADERS) {
    for (const prefix of HEADERS) {
      const hex = parseChecksum(headers[prefix + algorithm] ?? '', algorithm)
      if (hex !== null) return { algorithm, hex }
    }
  }
  // Nexus 2 has it in its ETag.
  const etag = /\{SHA1\{([0-9a-f]{40})\}\}/i.exec(headers['etag'] ?? '')?.[1]
  if (etag !== undefined) return { algorithm: 'sha1', hex: etag.toLowerCase() }
  // Of what Google's storage keeps, which may be a gzip of what it sends.
  if ((headers['x-goog-stored-content-encoding'] ?? 'identity') !== 'identity') return null
  const base64 = /(?:^|[\s,])md5=([A-Za-z0-9+/]+={0,2})/.exec(headers['x-goog-hash'] ?? '')?.[1]
  return base64 === undefined ? null : digestFromBase64('md5', base64)
}

/**
 * The checksum that lies beside the file at a path (percent-encoded) below the upstream; null when there is none, or
 * none that can be read, which Maven takes for none too. Throws UpstreamUnavailable when the upstream cannot say.
 */
export async function findSidecar(upstream: Upstream, path: string, limits: Config['mirrors']): Promise<Digest | null> {
  for (const algorithm of SIDECARS) {
    const text = await fetchText(upstream, `${path}.${algorithm}`, limits)
    const hex = text === null ? null : parseChecksum(text, algorithm)
    if (hex !== null) return { algorithm, hex }
  }
  return null
}

/** Whether an answer is a page for people, such as that of a portal which wants them to sign in. */
export function isPage(headers: Headers): boolean {
  return /^\s*(text\/html|application\/xhtml\+xml)\b/i.test(headers['content-type'] ?? '')
}

/** A small body as text; null when it is absent, or cannot be a checksum. */
async function fetchText(
  { client, settings }: Upstream,
  path: string,
  { documentTimeout, fetchTimeout }: Config['mirrors'],
): Promise<string | null> {
  const response = await client.send({
    url: new URL(path, settings.url),
    headers: { accept: '*/*', 'accept-encoding': 'identity' },
    use: 'document',
    headersTimeout: documentTimeout,
    signal: AbortSignal.timeout(fetchTimeout),
  })
  if (response.status !== 200 || isPage(response.headers)) {
    response.body.destroy()
    if (response.status === 200 || response.isAbsence) return null
    throw new UpstreamUnavailable(`upstream ${settings.name} answered ${response.status} for ${path}`)
  }
  try {
    return (await readBody(response, LARGEST_SIDECAR))?.toString('latin1') ?? null
  } catch (cause) {
    throw new UpstreamUnavailable(`upstream ${settings.name} broke off its answer about ${path}`, { cause })
  }
}
