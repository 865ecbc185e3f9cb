import type { FileRecord } from '../../../src/packages/package-info.ts'
import type { TestApp } from '../test-app.ts'

/** What to put under an owner; the rest is made up. */
export interface PublishedFile {
  owner: string
  type?: string
  name: string
  version?: string
  filename?: string
  content?: string
  /** A user's name; null: nobody. */
  creator?: string | null
}

/** Files a version with one file as a slice would: hosted for users and organizations, cached for mirrors. */
export async function publish({ services }: TestApp, file: PublishedFile): Promise<FileRecord> {
  const owner = (await services.accounts.find(file.owner))!
  const creator = file.creator === null ? null : await services.accounts.find(file.creator ?? file.owner)
  const content = services.packages.spool.create()
  await content.append(Buffer.from(file.content ?? `${file.name} ${file.version}`))
  await content.finish()
  const info = { owner, type: file.type ?? 'generic', name: file.name, version: file.version ?? '1.0.0' }
  const creation = { filename: file.filename ?? 'file.txt', content, isLead: true }
  try {
    if (owner.kind === 'mirror') return await services.packages.addCachedFile(info, creation)
    const created = { ...info, creator, semverCompatible: false, metadata: null }
    return await services.packages.createPackageOrAddFileToExisting(created, creation)
  } finally {
    await content.discard()
    await services.audit.settle()
  }
}
