import Fastify from 'fastify'
import { expect, test } from 'vitest'
import { access } from '../../src/http/access.ts'

test.each([
  [{}, /declares no access/],
  [{ access: 'signed-in' }, /declares no scope/],
  [{ access: 'admin' }, /declares no scope/],
])('a route with the rights %j stops the start (security.md S11)', async (config, message) => {
  const app = Fastify()
  await app.register(access)
  expect(() => app.get('/x', { config: config as never }, async () => 'x')).toThrow(message)
  await app.close()
})
