import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseChallenges } from '../../src/upstream/www-authenticate.ts'

describe('parseChallenges', () => {
  test.each([
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull,push"',
      [
        {
          scheme: 'bearer',
          parameters: {
            realm: 'https://auth.docker.io/token',
            service: 'registry.docker.io',
            scope: 'repository:library/alpine:pull,push',
          },
        },
      ],
    ],
    [
      'Basic realm="a, b", BEARER Realm = "c\\"d" , error=invalid_token',
      [
        { scheme: 'basic', parameters: { realm: 'a, b' } },
        { scheme: 'bearer', parameters: { realm: 'c"d', error: 'invalid_token' } },
      ],
    ],
    [
      'Negotiate abc==, Basic realm=x',
      [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'basic', parameters: { realm: 'x' } },
      ],
    ],
    [
      'Negotiate, Bearer',
      [
        { scheme: 'negotiate', parameters: {} },
        { scheme: 'bearer', parameters: {} },
      ],
    ],
    ['Bearer realm="never closed', [{ scheme: 'bearer', parameters: {} }]],
    ['Bearer realm="first",realm="second"', [{ scheme: 'bearer', parameters: { realm: 'first' } }]],
    ['realm="of no scheme"', []],
    ['', []],
    [', ,', []],
    ['\u0000Bearer realm="x"', []],
  ])('%j', (header, challenges) => {
    expect(parseChallenges(header)).toEqual(challenges)
  })

  test('a parameter may have any name', () => {
    const [challenge] = parseChallenges('Bearer __proto__="x", realm="y"')
    expect(Object.keys(challenge!.parameters)).toEqual(['__proto__', 'realm'])
  })

  test('ends for every text, long ones too', () => {
    fc.assert(fc.property(fc.string({ maxLength: 200 }), (text) => Array.isArray(parseChallenges(text))))
    for (const piece of ['a=', 'a ', '"', 'a="\\', ' ,', 'a=b,']) parseChallenges(piece.repeat(16_000))
  })
})
