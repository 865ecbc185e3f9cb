import { Invalid } from '../../errors.ts'
import type { SpoolEntry } from '../../storage/spool-entry.ts'
import { type Pom, readPom } from './pom.ts'
import { parseXmlInTurns } from './xml.ts'

const MAX_POM = 8 * 1024 * 1024

/** Reads the POM that is a finished file. Throws Invalid for what is no XML or no POM, and for one over 8 MiB. */
export async function readPomFile(content: SpoolEntry): Promise<Pom> {
  if (content.size > MAX_POM) throw new Invalid(`the POM is over ${MAX_POM} bytes`, 'file')
  const bytes = Buffer.alloc(content.size)
  for (let read = 0; read < bytes.length; ) {
    const count = await content.read(bytes.subarray(read), read)
    if (count === 0) throw new Error('the spool ended early')
    read += count
  }
  return readPom(await parseXmlInTurns(bytes))
}
