import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Packument } from '../../../src/package-types/npm/packument.ts'
import { restrictPackument } from '../../../src/package-types/npm/restricted-packument.ts'
import type { Decision } from '../../../src/policies/decision.ts'

const REFUSAL = { verdict: 'refused', rule: null, reason: 'no', matureAt: null, changesAt: null, warnings: [] } as const

function restrict(versions: string[], refused: string[], tags: Record<string, string>, more: object = {}) {
  const document = {
    ...{ name: 'left', 'dist-tags': tags, time: Object.fromEntries(versions.map((version) => [version, 'then'])) },
    versions: Object.fromEntries(versions.map((version) => [version, { name: 'left', version }])),
    ...more,
  } as Packument
  return restrictPackument(document, new Map(refused.map((version): [string, Decision] => [version, REFUSAL])))
}

test('nothing refused is the same document', () => {
  const document = restrict(['1.0.0'], [], { latest: '1.0.0' })
  expect(document).not.toHaveProperty('policyRestrictions')
})

test('latest goes back to a stable version, never to a newer one; others to the one before', () => {
  const versions = ['1.0.0', '1.1.0', '1.2.0-rc.1', '1.2.0', '2.0.0']
  const tags = { latest: '1.2.0', next: '1.2.0', legacy: '1.0.0' }
  expect(restrict(versions, ['1.2.0'], tags)['dist-tags']).toEqual({
    latest: '1.1.0',
    next: '1.2.0-rc.1',
    legacy: '1.0.0',
  })
  expect(restrict(versions, ['1.2.0', '1.0.0', '1.1.0'], tags)['dist-tags']).toEqual({ next: '1.2.0-rc.1' })
})

test('restrictions of the upstream itself stay', () => {
  const theirs = {
    policyRestrictions: { message: 'theirs', versions: { '0.1.0': { name: 'left', version: '0.1.0' } } },
  }
  const { policyRestrictions } = restrict(['1.0.0'], ['1.0.0'], {}, theirs)
  expect(policyRestrictions).toMatchObject({ message: 'theirs\nno' })
  expect(Object.keys((policyRestrictions as { versions: object }).versions)).toEqual(['0.1.0', '1.0.0'])
})

test('the message stays short however many are refused', () => {
  const versions = Array.from({ length: 10_000 }, (_, index) => `1.0.${index}`)
  const { policyRestrictions } = restrict(versions, versions, { latest: '1.0.9999' })
  const { message } = policyRestrictions as { message: string }
  expect(message.split('\n')).toHaveLength(11)
  expect(message).toContain('and 9990 more versions')
})

test('no tag ever names what is hidden, whatever the versions are called', () => {
  const name = fc.oneof(
    fc.stringMatching(/^[0-3]\.[0-3]\.[0-3](-rc\.[0-3])?$/),
    fc.constantFrom('__proto__', 'x', 'latest'),
  )
  fc.assert(
    fc.property(
      fc.uniqueArray(name),
      fc.array(name),
      fc.dictionary(fc.constantFrom('latest', 'next', 'old'), name),
      (versions, refused, tags) => {
        const shown = restrict(versions, refused, tags)
        for (const target of Object.values(shown['dist-tags'])) expect(refused).not.toContain(target)
        for (const version of refused) expect(Object.hasOwn(shown.versions, version)).toBe(false)
      },
    ),
  )
})
