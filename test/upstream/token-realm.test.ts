import { describe, expect, test } from 'vitest'
import { UpstreamUnavailable } from '../../src/errors.ts'
import { requireOwnRealm } from '../../src/upstream/token-realm.ts'
import { settingsOf } from '../support/upstream-settings.ts'

const check = (upstream: string, realm: string, realmHosts: string[] = []) =>
  requireOwnRealm(realm, settingsOf(upstream, { auth: { kind: 'docker', credentials: null, realmHosts } }))

describe('requireOwnRealm (S38)', () => {
  test.each([
    ['https://ghcr.io', 'https://ghcr.io/token'],
    ['https://ghcr.io', 'https://ghcr.io:8443/token'],
    ['https://registry-1.docker.io', 'https://auth.docker.io/token'],
    ['https://registry.gitlab.com', 'https://gitlab.com/jwt/auth?x=y'],
    ['https://10.1.2.3:5000', 'https://10.1.2.3/token'],
    ['http://localhost:5000', 'http://localhost:5001/token'],
    ['http://registry.corp.example', 'https://login.corp.example/token'],
  ])('%s may have its tokens from %s', (upstream, realm) => {
    expect(check(upstream, realm).href).toBe(realm)
  })

  test.each([
    ['https://registry-1.docker.io', 'https://auth.evil.example/token'],
    ['https://registry-1.docker.io', 'https://docker.io.evil.example/token'],
    ['https://registry-1.docker.io', 'https://evildocker.io/token'],
    ['https://registry.one.co.uk', 'https://registry.two.co.uk/token'],
    ['https://one.github.io', 'https://two.github.io/token'],
    ['https://registry-1.docker.io', 'https://169.254.169.254/latest'],
    ['https://10.1.2.3', 'https://10.1.2.4/token'],
    ['http://127.0.0.1:5000', 'http://localhost:5000/token'],
  ])('%s may not have them from %s', (upstream, realm) => {
    expect(() => check(upstream, realm)).toThrow(expect.objectContaining({ detail: 'FOREIGN_HOST' }))
  })

  test.each([
    'http://auth.docker.io/token',
    'ftp://auth.docker.io/token',
    'file:///etc/passwd',
    'https://user:secret@auth.docker.io/token',
    '/token',
    'https://',
    '',
  ])('%j is no place for tokens', (realm) => {
    expect(() => check('https://registry-1.docker.io', realm)).toThrow(UpstreamUnavailable)
  })

  test('realmHosts adds hosts, and their names alone', () => {
    const listed = ['login.other.example', 'ports.example:8443']
    expect(check('https://r.example', 'https://login.other.example/t', listed).host).toBe('login.other.example')
    expect(check('https://r.example', 'https://ports.example:8443/t', listed).host).toBe('ports.example:8443')
    expect(() => check('https://r.example', 'https://ports.example/t', listed)).toThrow(UpstreamUnavailable)
    expect(() => check('https://r.example', 'https://x.login.other.example/t', listed)).toThrow(UpstreamUnavailable)
    expect(() => check('https://r.example', 'http://login.other.example/t', listed)).toThrow(UpstreamUnavailable)
  })
})
