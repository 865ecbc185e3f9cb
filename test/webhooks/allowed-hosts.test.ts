import { describe, expect, test } from 'vitest'
import { ConfigError } from '../../src/config/config.ts'
import { parseAllowedHosts } from '../../src/webhooks/allowed-hosts.ts'

describe('parseAllowedHosts', () => {
  const allows = parseAllowedHosts(['CI.internal', '*.corp.example', '10.1.0.0/16', '192.168.1.7', 'fd00:1::/32'])

  test.each([
    ['ci.internal', '127.0.0.1', true],
    ['a.ci.internal', '127.0.0.1', false],
    ['a.b.corp.example', '127.0.0.1', true],
    ['corp.example', '127.0.0.1', false],
    ['evilcorp.example', '127.0.0.1', false],
    ['any', '10.1.255.1', true],
    ['any', '10.2.0.1', false],
    ['any', '::ffff:10.1.0.1', true],
    ['any', '192.168.1.7', true],
    ['any', '192.168.1.8', false],
    ['any', 'fd00:1::1', true],
    ['any', 'fd00:2::1', false],
    ['fe80::1', 'fe80::1%eth0', false],
  ])('%s at %s: %s', (host, address, expected) => {
    expect(allows(host, address)).toBe(expected)
  })

  test.each(['http://ci', 'ci:8080', 'a b', '10.0.0.0/33', '*', '*.*.example', ''])('%j stops the start', (entry) => {
    expect(() => parseAllowedHosts([entry])).toThrow(ConfigError)
  })
})
