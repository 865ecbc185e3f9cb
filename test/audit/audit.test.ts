import { pino } from 'pino'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type AuditActor, theServer } from '../../src/audit/entry.ts'
import { Audit } from '../../src/audit/index.ts'
import { inAuditContext } from '../../src/audit/request-context.ts'
import { openTestDatabase, type TestDatabase } from '../support/test-database.ts'

const DAY = 86_400_000
const ann: AuditActor = { user: { id: 7, name: 'ann' }, sudoer: null, token: null, address: '192.0.2.1' }

describe('the audit log', () => {
  const clock = { time: 0, now: () => clock.time }
  let database: TestDatabase
  let audit: Audit
  let logged: { msg: string; audit?: { action: string } }[]

  beforeEach(async () => {
    clock.time = Date.UTC(2030, 0, 10, 0, 0, 5)
    logged = []
    database = await openTestDatabase()
    const log = pino({ level: 'trace' }, { write: (line: string) => logged.push(JSON.parse(line)) })
    audit = new Audit({ db: database.db, models: database.models, clock, log })
  })
  afterEach(async () => {
    vi.restoreAllMocks()
    await audit.settle()
    await database.close()
  })

  async function actions(): Promise<string[]> {
    return (await audit.queries.list({}, { offset: 0, limit: 50 })).rows.map(({ action }) => action)
  }

  test('stores what was recorded within a second, in one statement', async () => {
    const before = database.db.queries
    for (let i = 0; i < 20; i += 1) audit.record(ann, 'test.event', {}, { i })
    expect(database.db.queries).toBe(before)
    await vi.waitFor(async () => expect(await actions()).toHaveLength(20), { timeout: 1_500 })
    const { rows } = await audit.queries.list({}, { offset: 0, limit: 1 })
    expect(rows[0]).toMatchObject({ createdAt: clock.time, actor: { id: 7, name: 'ann' }, details: { i: 19 } })
    expect(rows[0]).toMatchObject({ sudoer: null, token: null, owner: null, address: '192.0.2.1' })
  })

  test('settles with what came meanwhile', async () => {
    audit.record(ann, 'first')
    const settling = audit.settle()
    audit.record(ann, 'second')
    await settling
    audit.record(ann, 'third')
    await audit.settle()
    expect(await actions()).toEqual(['third', 'second', 'first'])
  })

  test('long names and addresses are cut', async () => {
    const long = 'ß'.repeat(5_000)
    audit.record({ ...ann, address: long, token: { id: 1, name: long } }, 'x', { name: long })
    await audit.settle()
    const [row] = (await audit.queries.list({}, { offset: 0, limit: 1 })).rows
    expect([row!.address.length, row!.token!.name.length, row!.name.length]).toEqual([255, 255, 5_000])
  })

  test('what the database does not take is tried again, then logged', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const insert = vi.spyOn(database.models.auditEvent, 'bulkCreate').mockRejectedValue(new Error('away'))
      audit.record(ann, 'lost.event')
      const settling = audit.settle()
      let isSettled = false
      const watching = settling.then(() => {
        isSettled = true
      })
      while (!isSettled) {
        await vi.advanceTimersByTimeAsync(1_000)
        await new Promise((resolve) => setImmediate(resolve))
      }
      await watching
      expect(insert).toHaveBeenCalledTimes(5)
    } finally {
      vi.useRealTimers()
    }
    expect(logged.map(({ msg, audit }) => [msg, audit?.action])).toEqual([
      ['audit events could not be stored; they follow', undefined],
      ['audit event', 'lost.event'],
    ])
  })

  test('whole days go when they are old enough, and that is recorded; by default none', async () => {
    for (let day = 0; day < 4; day += 1) {
      audit.record(ann, `day-${day}`)
      clock.time += DAY
    }
    await audit.settle()
    expect(await audit.prune(-1)).toBe(0)
    // Now the fourteenth has begun: the twelfth and thirteenth stay.
    expect(await audit.prune(2)).toBe(2)
    await audit.settle()
    expect(await actions()).toEqual(['audit.pruned', 'day-3', 'day-2'])
    const [pruned] = (await audit.queries.list({}, { offset: 0, limit: 1 })).rows
    expect(pruned).toMatchObject({ actor: null, details: { before: '2030-01-12T00:00:00.000Z', removed: 2 } })
    expect(await audit.prune(2)).toBe(0)
  })

  test('an event is put down to the address of its own request only', async () => {
    const listeners: ((event: object) => void)[] = []
    audit.follow({ on: (listener: never) => listeners.push(listener) } as never)
    const of = {
      owner: { id: 1, name: 'o' },
      type: 't',
      name: 'n',
      version: 'v',
      rows: { package: { isPrivate: false } },
    }
    const emit = (doer: object | null) => listeners[0]!({ action: 'created', ...of, doer })
    const context = { actor: ann, isRecorded: false }
    inAuditContext(context, () => emit({ id: 7, name: 'ann' }))
    inAuditContext(context, () => emit({ id: 8, name: 'bob' }))
    emit(null)
    await audit.settle()
    const { rows } = await audit.queries.list({}, { offset: 0, limit: 3 })
    expect(rows.map(({ actor, address }) => [actor?.name, address])).toEqual([
      [undefined, ''],
      ['bob', ''],
      ['ann', '192.0.2.1'],
    ])
    expect([context.isRecorded, theServer.address]).toEqual([true, ''])
  })
})
