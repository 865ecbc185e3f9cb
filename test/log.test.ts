import { Writable } from 'node:stream'
import { pino } from 'pino'
import { DatabaseError } from 'sequelize'
import { expect, test } from 'vitest'
import { logSerializers } from '../src/log.ts'

test('an error of the database is logged without its statement and values (security.md S19)', () => {
  const lines: string[] = []
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      lines.push(String(chunk))
      done()
    },
  })
  const log = pino({ serializers: logSerializers }, stream)
  const parent = Object.assign(new Error('lock wait timeout'), {
    sql: "INSERT INTO user (passwd) VALUES ('canary-1')",
    parameters: ['canary-2'],
  })
  log.error({ err: new DatabaseError(parent) }, 'failed')
  log.error({ err: new Error('outer', { cause: new DatabaseError(parent) }) }, 'failed')
  expect(lines.join()).not.toContain('canary')
  expect(lines[0]).toContain('lock wait timeout')
  expect(lines[1]).toContain('outer')
})
