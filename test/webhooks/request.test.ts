import { describe, expect, test } from 'vitest'
import { buildRequest, createRedaction, type RequestParts } from '../../src/webhooks/request.ts'

const parts: RequestParts = {
  ...{ uuid: '0b7f5a44-0000-4000-8000-000000000000', event: 'package' },
  ...{ payload: 'what do ya want for nothing?', secret: 'Jefe', authorization: '', version: '1.2.3' },
  kind: 'organization',
  contentType: 'json',
}

describe('buildRequest', () => {
  test('has every header of Gitea’s', () => {
    // RFC 2202 and RFC 4231, test case 2.
    const sha256 = '5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843'
    expect(buildRequest(parts)).toEqual({
      headers: {
        'Content-Type': 'application/json',
        'User-Agent': 'Entrepot/1.2.3',
        'X-Gitea-Delivery': parts.uuid,
        'X-Gogs-Delivery': parts.uuid,
        'X-GitHub-Delivery': parts.uuid,
        'X-Gitea-Event': 'package',
        'X-Gogs-Event': 'package',
        'X-GitHub-Event': 'package',
        'X-Gitea-Event-Type': 'package',
        'X-Gogs-Event-Type': 'package',
        'X-GitHub-Event-Type': 'package',
        'X-Gitea-Signature': sha256,
        'X-Gogs-Signature': sha256,
        'X-Hub-Signature': 'sha1=effcdf6ae5eb2fa2d27416d5f184df9c259a7c79',
        'X-Hub-Signature-256': `sha256=${sha256}`,
        'X-Gitea-Hook-Installation-Target-Type': 'organization',
        'X-GitHub-Hook-Installation-Target-Type': 'organization',
      },
      body: parts.payload,
    })
  })

  test('without a secret the signatures are empty, and their prefixes stay', () => {
    const { headers } = buildRequest({ ...parts, secret: '' })
    expect(headers).toMatchObject({ 'X-Gitea-Signature': '', 'X-Gogs-Signature': '' })
    expect(headers).toMatchObject({ 'X-Hub-Signature': 'sha1=', 'X-Hub-Signature-256': 'sha256=' })
  })

  test('as a form it signs the JSON', () => {
    const form = buildRequest({ ...parts, payload: '{"a": "ü & b=c"}', contentType: 'form', authorization: 'Bearer x' })
    expect(form.headers).toMatchObject({
      'Content-Type': 'application/x-www-form-urlencoded',
      'X-Hub-Signature-256': buildRequest({ ...parts, payload: '{"a": "ü & b=c"}' }).headers['X-Hub-Signature-256'],
      Authorization: 'Bearer x',
    })
    expect([...new URLSearchParams(form.body)]).toEqual([['payload', '{"a": "ü & b=c"}']])
  })
})

test('what a receiver repeats is masked: the secret, the header, and what is in it (security.md S19)', () => {
  const redact = createRedaction({ secret: 's3', authorization: 'Bearer s3-token' })
  expect(redact('got s3, Bearer s3-token and s3-token')).toBe('got ******, ****** and ******')
  expect(createRedaction({ secret: '', authorization: '' })('as it is')).toBe('as it is')
})
