import { createHmac } from 'node:crypto'
import type { HookKind } from '../models/webhook.ts'

/** What is said instead of a secret. */
export const MASK = '******'

/** What a request is made from; `secret` and `authorization` are empty where there is none. */
export interface RequestParts {
  readonly uuid: string
  readonly event: string
  readonly payload: string
  readonly kind: HookKind
  readonly contentType: 'json' | 'form'
  readonly secret: string
  readonly authorization: string
  /** Of the product. */
  readonly version: string
}

/** A POST with Gitea's headers (gitea-model.md §9); also as a form, the signatures are those of the JSON. */
export function buildRequest(parts: RequestParts): { headers: Record<string, string>; body: string } {
  const { uuid, event, payload, kind, secret, authorization } = parts
  const isForm = parts.contentType === 'form'
  const sign = (algorithm: string) =>
    secret === '' ? '' : createHmac(algorithm, secret).update(payload, 'utf8').digest('hex')
  const sha256 = sign('sha256')
  return {
    headers: {
      'Content-Type': isForm ? 'application/x-www-form-urlencoded' : 'application/json',
      'User-Agent': `Entrepot/${parts.version}`,
      ...named(['Gitea', 'Gogs', 'GitHub'], 'Delivery', uuid),
      ...named(['Gitea', 'Gogs', 'GitHub'], 'Event', event),
      ...named(['Gitea', 'Gogs', 'GitHub'], 'Event-Type', event),
      ...named(['Gitea', 'Gogs'], 'Signature', sha256),
      'X-Hub-Signature': `sha1=${sign('sha1')}`,
      'X-Hub-Signature-256': `sha256=${sha256}`,
      ...named(['Gitea', 'GitHub'], 'Hook-Installation-Target-Type', kind),
      ...(authorization === '' ? {} : { Authorization: authorization }),
    },
    body: isForm ? new URLSearchParams({ payload }).toString() : payload,
  }
}

function named(brands: readonly string[], name: string, value: string): Record<string, string> {
  return Object.fromEntries(brands.map((brand) => [`X-${brand}-${name}`, value]))
}

/** Takes secrets out of what a receiver says: some repeat what they were sent (security.md S19). */
export function createRedaction({ secret, authorization }: Pick<RequestParts, 'secret' | 'authorization'>) {
  const [, credentials = ''] = authorization.split(/\s+(.*)/s)
  const secrets = [secret, authorization, credentials].filter((text) => text !== '')
  // The longest first: one may contain another.
  secrets.sort((one, other) => other.length - one.length)
  return (text: string) => secrets.reduce((result, found) => result.replaceAll(found, MASK), text)
}
