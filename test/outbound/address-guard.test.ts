import { describe, expect, test } from 'vitest'
import { AddressGuard, AddressRefused, classifyAddress } from '../../src/outbound/address-guard.ts'

describe('classifyAddress', () => {
  test.each([
    ['8.8.8.8', 'public'],
    ['203.0.113.80', 'public'],
    ['2001:4860:4860::8888', 'public'],
    ['127.0.0.1', 'private'],
    ['127.255.255.254', 'private'],
    ['0.0.0.0', 'private'],
    ['10.1.2.3', 'private'],
    ['172.31.255.255', 'private'],
    ['172.32.0.1', 'public'],
    ['192.168.0.1', 'private'],
    ['100.64.0.1', 'private'],
    ['169.254.1.1', 'private'],
    ['224.0.0.1', 'private'],
    ['255.255.255.255', 'private'],
    ['::', 'private'],
    ['::1', 'private'],
    ['fe80::1', 'private'],
    ['fe80::1%eth0', 'private'],
    ['fd00::1', 'private'],
    ['ff02::1', 'private'],
    ['::ffff:127.0.0.1', 'private'],
    ['::ffff:8.8.8.8', 'public'],
    ['::127.0.0.1', 'private'],
    ['64:ff9b::7f00:1', 'private'],
    ['64:ff9b::808:808', 'public'],
    ['2002:7f00:1::', 'private'],
    ['2002:a00:1::1', 'private'],
    ['169.254.169.254', 'metadata'],
    ['::ffff:169.254.169.254', 'metadata'],
    ['64:ff9b::a9fe:a9fe', 'metadata'],
    ['fd00:ec2::254', 'metadata'],
    ['169.254.170.2', 'metadata'],
    ['168.63.129.16', 'metadata'],
    ['fec0::1', 'private'],
  ])('%s is %s (security.md S40)', (address, kind) => {
    expect(classifyAddress(address)).toBe(kind)
  })
})

describe('AddressGuard', () => {
  const closed = new AddressGuard(() => false)
  const open = new AddressGuard(() => true)

  test.each([
    'http://127.0.0.1/',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://[::1]/',
    'http://[::ffff:10.0.0.1]/',
    'http://0/',
  ])('the literal %s is refused, however it is written', (url) => {
    expect(() => closed.checkUrl(new URL(url))).toThrow(AddressRefused)
    expect(() => open.checkUrl(new URL(url))).not.toThrow()
  })

  test('a metadata address is refused even where private ones are allowed', () => {
    expect(() => open.checkUrl(new URL('http://169.254.169.254/latest'))).toThrow(AddressRefused)
  })

  const resolve = (guard: AddressGuard, host: string, all: boolean) =>
    new Promise((done) => guard.lookup(host, { all }, (error, address) => done(error ?? address)))

  test('a name is judged by the addresses that it has when the socket connects', async () => {
    expect(await resolve(closed, 'localhost', true)).toBeInstanceOf(AddressRefused)
    expect(await resolve(closed, 'localhost', false)).toBeInstanceOf(AddressRefused)
    expect(JSON.stringify(await resolve(open, 'localhost', true))).toMatch(/127\.0\.0\.1|::1/)
  })

  test('private addresses can be allowed for one host alone', async () => {
    const origin = new AddressGuard((host) => host === 'localhost')
    expect(await resolve(origin, 'LOCALHOST', true)).not.toBeInstanceOf(Error)
    expect(() => origin.checkUrl(new URL('http://127.0.0.1/'))).toThrow(AddressRefused)
  })
})
