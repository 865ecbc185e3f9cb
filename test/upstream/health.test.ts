import { beforeEach, describe, expect, test } from 'vitest'
import { UpstreamUnavailable } from '../../src/errors.ts'
import { OriginHealth } from '../../src/upstream/health.ts'

let now: number
let health: OriginHealth
beforeEach(() => {
  now = 1_000_000
  health = new OriginHealth('https://upstream.example', { now: () => now })
})
const fail = (times: number) => {
  for (let i = 0; i < times; i += 1) health.failed()
}

describe('OriginHealth', () => {
  test('opens at the fifth failure in a row', () => {
    fail(4)
    expect(() => health.admit()).not.toThrow()
    fail(1)
    expect(health.state).toBe('open')
    expect(() => health.admit()).toThrow(UpstreamUnavailable)
  })

  test('a success between failures keeps it closed', () => {
    fail(4)
    health.succeeded()
    fail(4)
    expect(health.state).toBe('closed')
  })

  test('lets one real request through after the pause, and closes when it succeeds', () => {
    fail(5)
    now += 12_001
    expect(health.state).toBe('half-open')
    health.admit()
    expect(() => health.admit()).toThrow(/being tried/)
    health.succeeded()
    expect(health.state).toBe('closed')
    expect(() => health.admit()).not.toThrow()
  })

  test('pauses longer each time the trial fails, at most five minutes', () => {
    fail(5)
    for (let i = 0; i < 10; i += 1) {
      now += 400_000
      health.admit()
      health.failed()
    }
    now += 239_999
    expect(health.state).toBe('open')
    now += 120_002
    expect(health.state).toBe('half-open')
  })

  test('late failures of requests sent before it opened do not prolong the pause', () => {
    fail(5)
    now += 12_001
    fail(3)
    expect(health.state).toBe('half-open')
  })

  test('answers that begin and never end are failures', () => {
    for (let i = 0; i < 5; i += 1) {
      health.admit()
      health.answered()
      health.failed()
    }
    expect(health.state).toBe('open')
    now += 12_001
    health.admit()
    health.answered()
    health.failed()
    expect(health.state).toBe('open')
  })

  test('429 closes it for as long as the upstream says, and says so', () => {
    health.rateLimited(30_000)
    const error = (() => {
      try {
        return health.admit()
      } catch (thrown) {
        return thrown
      }
    })()
    expect(error).toMatchObject({ status: 503, retryAfter: 30, detail: 'RATE_LIMITED' })
    now += 30_001
    expect(() => health.admit()).not.toThrow()
  })

  test('429 closes it for a second at least and a quarter of an hour at most', () => {
    health.rateLimited(0)
    expect(() => health.admit()).toThrow()
    now += 1_001
    expect(() => health.admit()).not.toThrow()
    health.rateLimited(6 * 3_600_000)
    now += 900_001
    expect(() => health.admit()).not.toThrow()
  })

  test('opens when half of ten and more requests within half a minute fail', () => {
    for (let i = 0; i < 4; i += 1) {
      health.failed()
      health.succeeded()
    }
    health.failed()
    expect(health.state).toBe('closed')
    health.succeeded()
    health.failed()
    expect(health.state).toBe('open')
  })

  test('does not count what is older than half a minute', () => {
    for (let i = 0; i < 8; i += 1) {
      health.failed()
      health.succeeded()
      now += 7_000
    }
    expect(health.state).toBe('closed')
  })

  test('tells of its changes, and believes others for a minute', () => {
    const told: unknown[] = []
    const other = new OriginHealth('https://upstream.example', { now: () => now }, (news) => told.push(news))
    for (let i = 0; i < 5; i += 1) other.failed()
    now += 20_000
    other.admit()
    other.succeeded()
    other.rateLimited(30_000)
    expect(told).toEqual([
      { open: expect.any(Number), rateLimited: 0 },
      { open: 0, rateLimited: 0 },
      { open: 0, rateLimited: 30_000 },
    ])
    health.hear({ open: 300_000, rateLimited: 0 })
    expect(health.state).toBe('open')
    now += 60_001
    expect(health.state).toBe('half-open')
    health.hear({ open: 0, rateLimited: 0 })
    expect(health.state).toBe('closed')
    health.hear({ open: 0, rateLimited: 5_000 })
    expect(() => health.admit()).toThrow(/limits the rate/)
  })

  test('a trial that was given up lets the next one try', () => {
    fail(5)
    now += 12_001
    health.admit()
    health.abandoned()
    expect(() => health.admit()).not.toThrow()
  })
})
