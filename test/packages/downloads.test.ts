import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Downloads } from '../../src/packages/downloads.ts'
import { testDialects } from '../support/test-database.ts'
import { info, Registry } from './registry.ts'

describe.each(testDialects)('downloads on %s', (dialect) => {
  let registry: Registry
  beforeEach(async () => {
    registry = await Registry.open(dialect)
  })
  afterEach(() => registry.close())

  const publish = async (version: string) => {
    const alice = await registry.owner(`alice${version}`)
    return (await registry.packages.createPackageAndAddFile(info(alice, 'a', version), await registry.file('f', 'x')))
      .version
  }
  const read = async (id: number) => {
    const { downloadCount, lastDownloadedAt } = (await registry.parts.models.packageVersion.findByPk(id))!
    return [downloadCount, lastDownloadedAt]
  }

  test('are counted without a statement and shown by descriptors', async () => {
    const { downloads, lookup } = registry.packages
    const [one, two] = [await publish('1'), await publish('2')]
    const start = registry.now
    expect(
      await registry.queriesOf(async () => {
        downloads.count(one.id)
        registry.now += 5
        downloads.count(one.id)
        downloads.count(987_654)
      }),
    ).toBe(0)
    expect(await read(one.id)).toEqual([0, 0])
    const [descriptor] = await lookup.describe([one.id])
    expect(descriptor!.version).toMatchObject({ downloadCount: 2, lastDownloadedAt: start + 5 })
    downloads.count(one.id)
    await downloads.flush()
    expect(await read(one.id)).toEqual([3, start + 5])
    expect(await read(two.id)).toEqual([0, 0])
    expect(await registry.queriesOf(() => downloads.flush())).toBe(0)
  })

  test('of many versions take few statements', async () => {
    const { downloads } = registry.packages
    const one = await publish('1')
    for (let id = 1; id <= 500; id += 1) downloads.count(one.id + id)
    downloads.count(one.id)
    // Three batches: BEGIN (MariaDB: and its isolation level), UPDATE, COMMIT.
    expect(await registry.queriesOf(() => downloads.flush())).toBe(3 * (dialect === 'sqlite' ? 3 : 4))
    expect((await read(one.id))[0]).toBe(1)
  })

  test('counted while others are written are not lost, and none is written twice', async () => {
    const { downloads } = registry.packages
    const one = await publish('1')
    const flushes: Promise<void>[] = []
    for (let count = 0; count < 50; count += 1) {
      downloads.count(one.id)
      if (count % 7 === 0) flushes.push(downloads.flush())
      if (count % 10 === 0) await new Promise(setImmediate)
    }
    await Promise.all(flushes)
    await downloads.close()
    expect((await read(one.id))[0]).toBe(50)
  })

  test('that cannot be written are kept for the next time', async () => {
    const one = await publish('1')
    const { db, clock } = registry.parts
    let fails = true
    const failing = Object.create(db, {
      inTransaction: { value: (work: never) => (fails ? Promise.reject(new Error('away')) : db.inTransaction(work)) },
    })
    const errors: unknown[] = []
    const downloads = new Downloads(failing, clock, (error) => errors.push(error))
    downloads.count(one.id)
    await downloads.flush()
    expect(errors).toEqual([new Error('away')])
    downloads.count(one.id)
    fails = false
    await downloads.close()
    expect((await read(one.id))[0]).toBe(2)
  })
})
