import type { Owner } from '../../auth/owner.ts'
import { Invalid, NotFound } from '../../errors.ts'
import type { Services } from '../../services.ts'
import { changePackage } from './change.ts'
import { isObject, type JsonObject } from './metadata.ts'
import { writeMetadata } from './queries.ts'
import { parseManifest } from './stored-packument.ts'

const MAX_MESSAGE = 4096

/**
 * Marks versions as deprecated, or takes the mark away where the text is empty. `versions` is that of a whole document
 * that a client sends back: only versions that exist and whose object has a field `deprecated` of its own count; all
 * else of it, which may be old by now, is ignored (npm.md §4).
 */
export async function deprecate(services: Services, owner: Owner, name: string, versions: JsonObject): Promise<void> {
  const row = await services.packages.lookup.findPackage(owner.id, 'npm', name)
  if (row === null) throw new NotFound('package', name)
  const messages = readMessages(versions)
  await changePackage(services, row, async (rows, transaction) => {
    let changed = false
    for (const version of rows.versions) {
      const message = messages.get(version.version)
      if (message === undefined) continue
      const { deprecated: before = '', ...manifest } = parseManifest(version)
      if (message === before) continue
      const metadata = message === '' ? manifest : { ...manifest, deprecated: message }
      await writeMetadata(services.db, version.id, metadata, transaction)
      changed = true
    }
    return changed
  })
}

function readMessages(versions: JsonObject): Map<string, string> {
  const messages = new Map<string, string>()
  for (const [version, manifest] of Object.entries(versions)) {
    if (!isObject(manifest) || !Object.hasOwn(manifest, 'deprecated')) continue
    const message = manifest['deprecated'] ?? ''
    if (typeof message !== 'string' || message.length > MAX_MESSAGE) {
      throw new Invalid(`deprecated is a text of at most ${MAX_MESSAGE} characters`, 'version')
    }
    messages.set(version, message)
  }
  return messages
}
