import { expect, test } from 'vitest'
import { Notices } from '../../src/cache/notices.ts'
import { Coordination } from '../../src/upstream/coordination.ts'

test('a lease ends when whether another replica has brought it cannot be found out', async () => {
  const calls: string[] = []
  let holder: string | null = 'another 10'
  const redis = {
    set: async (_key: string, value: string) => {
      if (holder !== null) return null
      holder = value
      return 'OK'
    },
    get: async () => {
      const held = holder
      holder = null
      return held
    },
    eval: async (_script: string, { arguments: [token] }: { arguments: string[] }) => calls.push(token!),
  }
  const coordination = new Coordination({ notices: new Notices(), onError: () => {} })
  coordination.share(redis as never, 'test')
  const leading = coordination.lead('key', async () => {
    throw new Error('no database')
  })
  await expect(leading).rejects.toThrow('no database')
  expect(calls).toEqual([holder!.split(' ')[0]])
})
