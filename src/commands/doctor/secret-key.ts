import { stat } from 'node:fs/promises'
import { readSecretKey, SecretBox, secretKeyFile } from '../../auth/secret-box.ts'
import type { Config } from '../../config/config.ts'
import type { Database } from '../../db/connect.ts'
import { initModels } from '../../models/index.ts'
import { type Report, reasonOf } from './report.ts'

const SUBJECT = 'secret key'
const BACKUP = 'put it back from a backup, or set secretKey (ENTREPOT_SECRET_KEY) to what it was'

/** The key of the secrets in the database (webhooks, second factors, upstreams): that it is there, hidden, and the right one. */
export async function checkSecretKey(report: Report, config: Config, db: Database | null): Promise<void> {
  try {
    const path = secretKeyFile(config.dataDir)
    const isSet = config.secretKey !== ''
    const key = isSet ? Buffer.from(config.secretKey, 'base64') : await readSecretKey(path)
    const sealed = db === null ? [] : await readSealed(db)
    if (key === null) return reportNone(report, path, sealed.length)
    if (!isSet && !(await isHidden(report, path))) return
    const box = new SecretBox(key)
    const others = sealed.filter((text) => !box.hasSealed(text)).length
    if (others === 0) report.ok(SUBJECT, `${isSet ? 'secretKey is set' : path}, ${sealed.length} secrets open with it`)
    else report.fail(SUBJECT, `${others} of ${sealed.length} secrets were encrypted with another key`, BACKUP)
  } catch (error) {
    report.fail(SUBJECT, reasonOf(error), `the user of the server must be able to read it; ${BACKUP}`)
  }
}

function reportNone(report: Report, path: string, sealed: number): void {
  if (sealed === 0) report.ok(SUBJECT, 'none yet; the first start makes one')
  else report.fail(SUBJECT, `${path} is not there, and ${sealed} secrets were encrypted with it`, BACKUP)
}

async function isHidden(report: Report, path: string): Promise<boolean> {
  const mode = (await stat(path)).mode & 0o777
  if ((mode & 0o077) === 0) return true
  const text = `${path} has the mode ${mode.toString(8)}: others on this host may read it`
  report.fail(SUBJECT, text, `chmod 600 ${path}`)
  return false
}

async function readSealed({ sequelize }: Database): Promise<string[]> {
  const { webhook, twoFactor, upstream } = initModels(sequelize)
  const hooks = await webhook.findAll({ attributes: ['sealedSecret', 'sealedAuthorization'] })
  const factors = await twoFactor.findAll({ attributes: ['sealedSecret'] })
  const upstreams = await upstream.findAll({ attributes: ['sealedSecrets'] })
  return [
    ...hooks.flatMap(({ sealedSecret, sealedAuthorization }) => [sealedSecret, sealedAuthorization]),
    ...factors.map(({ sealedSecret }) => sealedSecret),
    ...upstreams.map(({ sealedSecrets }) => sealedSecrets ?? ''),
  ].filter((text) => text !== '')
}
