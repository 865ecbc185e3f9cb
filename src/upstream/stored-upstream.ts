import { type SecretBox, SecretUnreadable } from '../auth/secret-box.ts'
import type { Upstream as UpstreamRow } from '../models/upstream.ts'
import type { RestUpstream, StoredUpstream, UpstreamSecrets } from './rest-upstream.ts'

const NO_SECRETS: UpstreamSecrets = { auth: '', clientKey: '' }

type Columns = Pick<UpstreamRow, 'settings' | 'sealedSecrets' | 'revision'>
type StoredRow = Pick<UpstreamRow, 'id' | 'settings' | 'sealedSecrets'>

/** What the row of an upstream keeps; its secrets open for this row only. */
export function columnsOf(
  id: number,
  revision: number,
  { declared, secrets }: StoredUpstream,
  box: SecretBox,
): Columns {
  const hasSecrets = secrets.auth !== '' || secrets.clientKey !== ''
  const sealedSecrets = hasSecrets ? box.seal(JSON.stringify(secrets), purposeOf(id)) : null
  return { settings: JSON.stringify(declared), sealedSecrets, revision }
}

/** What was declared, without the secrets. */
export function declaredIn({ settings }: Pick<StoredRow, 'settings'>): RestUpstream {
  return JSON.parse(settings!) as RestUpstream
}

/** Throws SecretUnreadable. */
export function openStored(row: StoredRow, box: SecretBox): StoredUpstream {
  const { id, sealedSecrets } = row
  const secrets =
    sealedSecrets === null ? NO_SECRETS : (JSON.parse(box.unseal(sealedSecrets, purposeOf(id))) as UpstreamSecrets)
  return { declared: declaredIn(row), secrets }
}

/** The same, but secrets that cannot be read count as none: they must be given again. */
export function openAsFarAsPossible(row: StoredRow, box: SecretBox): StoredUpstream {
  try {
    return openStored(row, box)
  } catch (error) {
    if (!(error instanceof SecretUnreadable)) throw error
    return { declared: declaredIn(row), secrets: NO_SECRETS }
  }
}

function purposeOf(id: number): string {
  return `upstream/${id}/secrets`
}
