import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Owner } from '../../src/auth/owner.ts'
import { TestApp } from '../support/test-app.ts'

describe('an owner who is deleted while something is published for him', () => {
  let app: TestApp
  let eve: Owner

  beforeEach(async () => {
    app = await TestApp.start()
    await app.createUser('eve')
    eve = (await app.services.accounts.find('eve'))!
  })
  afterEach(() => app.close())

  const remove = () => app.api('DELETE', '/admin/users/eve')
  async function publish(also?: () => Promise<void>): Promise<unknown> {
    const { packages } = app.services
    const content = packages.spool.create()
    await content.append(Buffer.from('content'))
    await content.finish()
    const info = { owner: eve, creator: eve, type: 'generic', name: 'tool', version: '1.0', metadata: null }
    const file = { filename: 'tool.bin', isLead: true, content }
    return packages
      .createPackageAndAddFile({ ...info, semverCompatible: false }, file, also)
      .finally(() => content.discard())
  }
  const countRows = async () => {
    const { package: table, packageVersion, packageFile, packageBlobUpload } = app.services.models
    return [
      await table.count(),
      await packageVersion.count(),
      await packageFile.count(),
      await packageBlobUpload.count(),
    ]
  }

  test('before the rows are written: there are none of nobody', async () => {
    expect((await remove()).statusCode).toBe(204)
    await expect(publish()).rejects.toMatchObject({ status: 404, subject: 'owner' })
    const binding = { userId: eve.id, ownerId: eve.id, name: 'tool' }
    await expect(app.services.packages.uploads.open(binding)).rejects.toMatchObject({ status: 404 })
    expect(await countRows()).toEqual([0, 0, 0, 0])
  })

  test('while they are written: the deletion waits, and is refused', async () => {
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    let begun = () => {}
    const writing = new Promise<void>((resolve) => {
      begun = resolve
    })
    const publishing = publish(async () => {
      begun()
      await gate
    })
    await writing
    const removing = remove()
    await new Promise((resolve) => setTimeout(resolve, 300))
    release()
    await publishing
    expect((await removing).statusCode).toBe(422)
    expect(await countRows()).toEqual([1, 1, 1, 0])
  })
})
