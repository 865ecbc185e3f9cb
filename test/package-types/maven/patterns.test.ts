import { describe, expect, test } from 'vitest'
import { compilePattern } from '../../../src/package-types/maven/patterns.ts'

describe('a pattern', () => {
  test.each([
    // Without a colon: a group and all below it, and the artifact at whose path its metadata lies.
    [
      'com.acme',
      ['com.acme:lib', 'com.acme.deep.down:lib', 'com:acme', 'COM.Acme:lib'],
      ['com.acmeother:lib', 'com:lib', 'org.com.acme:lib'],
    ],
    ['com.acme.*', ['com.acme:lib', 'com.acme.deep:lib', 'com:acme'], ['com.acmeother:lib', 'com:acme-lib']],
    ['com.acme.**', ['com.acme:lib', 'com.acme.deep:lib'], ['com.acmeother:lib']],
    [
      'com.*.internal',
      ['com.a.internal:lib', 'com.a.b.internal.c:lib', 'com.a:internal'],
      ['com.internal:lib', 'com.a:lib'],
    ],
    ['androidx', ['androidx:core', 'androidx.core:core-ktx'], ['androidxx:core']],
    ['*', ['a:b', 'a.b.c:d'], []],
    // With a colon: exactly that.
    // All of a group: that of its metadata too, which lies where that of an artifact would, or in a folder of its own.
    ['com.acme:*', ['com.acme:lib', 'com:acme'], ['com.acme.deep:lib', 'com:acme-x', 'com:lib']],
    ['acme:*', ['acme:lib', 'acme'], ['acme.deep:lib', 'acmeother']],
    ['com.acme:lib-*', ['com.acme:lib-a', 'com.acme:lib-'], ['com.acme:lib', 'com.acme:other', 'com:acme']],
    ['*:secret', ['a:secret', 'a.b:secret'], ['a:secret2', 'secret:a']],
    ['com.acme:lib', ['com.acme:lib', 'com.acme:LIB'], ['com.acme:lib2', 'xcom.acme:lib', 'comxacme:lib']],
  ])('%s', (pattern, covered, others) => {
    const matches = compilePattern(pattern)
    for (const name of covered) expect([name, matches(name)]).toEqual([name, true])
    for (const name of others) expect([name, matches(name)]).toEqual([name, false])
  })

  test.each(['', 'com/acme', 'a:b:c', 'com.acme ', '!com.acme', '@(a|b)', 'a{b,c}', '[ab]'])(
    '%j is none',
    (pattern) => {
      expect(() => compilePattern(pattern)).toThrow('is no pattern')
    },
  )

  test('takes no long time for anything', () => {
    const matches = compilePattern(`${'*a'.repeat(120)}b`)
    expect(matches(`${'a'.repeat(200)}:${'a'.repeat(50)}`)).toBe(false)
  })
})
