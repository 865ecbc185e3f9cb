import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decide, type Subject } from '../../src/policies/decision.ts'
import { ACTIONS, type Rule, SCOPES } from '../../src/policies/rule.ts'

const NOW = Date.UTC(2026, 0, 10)
const HOUR = 3_600_000
let nextId = 1

function rule(changes: Partial<Rule> & Pick<Rule, 'action'>): Rule {
  return {
    ...{ id: nextId++, scope: 'site', scopeId: 0, type: '', matchesVersion: null, untrustedOnly: false },
    ...{ minAge: 0, notAfter: 0, reason: '', expiresAt: 0, updatedAt: 0 },
    matchesName: () => true,
    ...changes,
  }
}

function subject(changes: Partial<Subject> = {}): Subject {
  return {
    ...{ type: 'npm', name: 'left-pad', version: '1.0.0', publishedAt: NOW - HOUR, organizationId: 7 },
    upstream: { id: 3, isTrusted: false },
    ...changes,
  }
}

const cooldown = (changes: Partial<Rule> = {}) => rule({ action: 'cooldown', minAge: 72 * HOUR, ...changes })
const verdict = (rules: Rule[], about = subject(), now = NOW) => decide(rules, about, now).verdict

describe('a decision', () => {
  test('without rules is to serve', () => {
    expect(decide([], subject(), NOW)).toMatchObject({ verdict: 'allowed', rule: null, reason: null, changesAt: null })
  })

  test('tells why, and when it ends', () => {
    const decision = decide([cooldown({ id: 5, reason: 'wait and see' })], subject(), NOW)
    expect(decision).toMatchObject({ verdict: 'refused', matureAt: NOW + 71 * HOUR, changesAt: NOW + 71 * HOUR })
    expect(decision.reason).toBe(
      'left-pad 1.0.0 is younger than 3 days and is held back until 2026-01-12T23:00Z: wait and see (policy 5)',
    )
    expect(verdict([cooldown()], subject(), NOW + 71 * HOUR)).toBe('allowed')
    expect(verdict([cooldown()], subject(), NOW + 71 * HOUR - 1)).toBe('refused')
  })

  test('what has no known time is too young', () => {
    const unknown = subject({ publishedAt: null })
    expect(decide([cooldown()], unknown, NOW)).toMatchObject({ verdict: 'refused', matureAt: null })
    expect(verdict([rule({ action: 'freeze', notAfter: NOW })], unknown)).toBe('refused')
  })

  test('a freeze refuses what came after its date', () => {
    expect(verdict([rule({ action: 'freeze', notAfter: NOW - 2 * HOUR })])).toBe('refused')
    expect(verdict([rule({ action: 'freeze', notAfter: NOW - HOUR })])).toBe('allowed')
  })

  test('a pin refuses other versions, a list what is not on it', () => {
    const one = (version: string) => version === '1.0.0'
    expect(verdict([rule({ action: 'pin', matchesVersion: one })])).toBe('allowed')
    expect(verdict([rule({ action: 'pin', matchesVersion: one })], subject({ version: '2.0.0' }))).toBe('refused')
    const list = [
      rule({ action: 'allow_only', matchesName: (name) => name === 'left-pad', matchesVersion: one }),
      rule({ action: 'allow_only', matchesName: (name) => name === 'lodash' }),
      rule({ action: 'allow_only', type: 'maven' }),
    ]
    expect(verdict(list)).toBe('allowed')
    expect(verdict(list, subject({ name: 'lodash', version: '4.0.0' }))).toBe('allowed')
    expect(verdict(list, subject({ version: '2.0.0' }))).toBe('refused')
    expect(verdict(list, subject({ name: 'evil' }))).toBe('refused')
  })

  test('what a rule says of tags does not speak of digests', () => {
    const tags = (version: string) => (version.includes(':') ? null : version === '3')
    const digest = subject({ version: 'sha256:00' })
    for (const action of ['pin', 'allow_only', 'deny'] as const) {
      expect(verdict([rule({ action, matchesVersion: tags })], digest)).toBe('allowed')
    }
  })

  test('an allow lifts a cooldown of its own or a wider scope, and no deny', () => {
    const allow = (scope: Rule['scope'], scopeId: number) => rule({ action: 'allow', scope, scopeId })
    expect(verdict([cooldown(), allow('site', 0)])).toBe('allowed')
    expect(verdict([cooldown(), allow('organization', 7)])).toBe('allowed')
    expect(verdict([cooldown({ scope: 'organization', scopeId: 7 }), allow('site', 0)])).toBe('refused')
    expect(verdict([rule({ action: 'deny' }), allow('organization', 7)])).toBe('refused')
    expect(verdict([rule({ action: 'quarantine' }), allow('site', 0)])).toBe('refused')
    const ends = { ...allow('site', 0), expiresAt: NOW + HOUR }
    expect(decide([cooldown(), ends], subject(), NOW)).toMatchObject({ verdict: 'allowed', changesAt: NOW + HOUR })
    expect(verdict([cooldown(), ends], subject(), NOW + HOUR)).toBe('refused')
  })

  test('rules hold where they are made', () => {
    const deny = (scope: Rule['scope'], scopeId: number) => rule({ action: 'deny', scope, scopeId })
    expect(verdict([deny('upstream', 3)])).toBe('refused')
    expect(verdict([deny('upstream', 4)])).toBe('allowed')
    expect(verdict([deny('organization', 7)])).toBe('refused')
    expect(verdict([deny('organization', 7)], subject({ organizationId: null }))).toBe('allowed')
    expect(verdict([deny('organization', 8)])).toBe('allowed')
    expect(verdict([rule({ action: 'deny', type: 'maven' })])).toBe('allowed')
    const trusted = subject({ upstream: { id: 3, isTrusted: true } })
    expect(verdict([cooldown({ untrustedOnly: true })], trusted)).toBe('allowed')
    expect(verdict([cooldown({ untrustedOnly: true })])).toBe('refused')
  })

  test('a warning lets through and says so', () => {
    const decision = decide([rule({ action: 'warn', reason: 'unmaintained' })], subject(), NOW)
    expect(decision).toMatchObject({ verdict: 'allowed', warnings: ['unmaintained'] })
  })
})

describe('decisions, whatever the rules', () => {
  const rules = fc.array(
    fc
      .record({
        action: fc.constantFrom(...ACTIONS),
        place: fc.constantFrom(...SCOPES),
        meansName: fc.boolean(),
        fits: fc.constantFrom(true, false, null),
        hours: fc.integer({ min: 1, max: 5 }),
        ends: fc.constantFrom(0, NOW - 1, NOW, NOW + 1, NOW + HOUR),
      })
      .map(({ action, place, meansName, fits, hours, ends }) =>
        rule({
          ...{ action, scope: place, scopeId: { site: 0, upstream: 3, organization: 7 }[place], expiresAt: ends },
          minAge: action === 'cooldown' ? hours * HOUR : 0,
          notAfter: action === 'freeze' ? NOW - hours * HOUR : 0,
          matchesName: () => meansName,
          matchesVersion: () => fits,
        }),
      ),
    { maxLength: 12 },
  )
  const age = fc.option(fc.integer({ min: 0, max: 6 }), { nil: null })
  const of = (hours: number | null) => subject({ publishedAt: hours === null ? null : NOW - hours * HOUR })

  test('do not depend on the order', () => {
    fc.assert(
      fc.property(rules, age, fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (all, hours, random) => {
        const shuffled = all
          .map((one) => ({ one, at: random.next().value as number }))
          .sort((a, b) => a.at - b.at)
          .map(({ one }) => one)
        expect(decide(shuffled, of(hours), NOW)).toEqual(decide(all, of(hours), NOW))
      }),
    )
  })

  test('are those of the strictest: one more rule that is no allow never lets more through', () => {
    fc.assert(
      fc.property(rules, rules, age, (all, more, hours) => {
        const stricter = more.filter(({ action }) => action !== 'allow' && action !== 'allow_only')
        if (verdict(all, of(hours)) === 'refused') expect(verdict([...all, ...stricter], of(hours))).toBe('refused')
      }),
    )
  })

  test('name the strictest action that refuses', () => {
    fc.assert(
      fc.property(rules, age, (all, hours) => {
        const decision = decide(all, of(hours), NOW)
        const denies = all.filter(
          (one) =>
            one.action === 'deny' &&
            one.matchesName('') &&
            one.matchesVersion!('') === true &&
            (one.expiresAt === 0 || one.expiresAt > NOW),
        )
        if (denies.length > 0) expect(decision.rule?.action).toBe('deny')
        expect(decision.verdict === 'refused').toBe(decision.rule !== null)
      }),
    )
  })

  test('are not touched by rules that have ended, and stay until the moment they say', () => {
    fc.assert(
      fc.property(rules, age, (all, hours) => {
        const inForce = all.filter(({ expiresAt }) => expiresAt === 0 || expiresAt > NOW)
        const decision = decide(all, of(hours), NOW)
        expect(decide(inForce, of(hours), NOW)).toEqual(decision)
        const before = decision.changesAt === null ? NOW + 100 * HOUR : decision.changesAt - 1
        expect(verdict(all, of(hours), before)).toBe(decision.verdict)
        if (decision.matureAt !== null) {
          expect(decision.verdict).toBe('refused')
        }
      }),
    )
  })
})
