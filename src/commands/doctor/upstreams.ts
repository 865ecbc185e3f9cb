import type { Config } from '../../config/config.ts'
import type { Database } from '../../db/connect.ts'
import { UpstreamUnavailable } from '../../errors.ts'
import { initModels } from '../../models/index.ts'
import { UpstreamClient } from '../../upstream/client.ts'
import type { UpstreamSettings } from '../../upstream/upstream-settings.ts'
import { upstreamAdapters } from '../start.ts'
import { readVersion } from '../version.ts'
import { type Report, reasonOf } from './report.ts'

/** Ms for one upstream, and of difference between clocks. */
const LIMIT = 10_000
const SKEW = 60_000
const SUBJECT = 'upstream'

/** `skew`: ms by which the upstream's clock is ahead of ours; null: it did not say. */
interface Contact {
  readonly status: number
  readonly ms: number
  readonly skew: number | null
}

/**
 * Asks each upstream for its base URL, as the server would: same address rules, proxies and credentials. An upstream
 * that is away is a warning, since what is held is served without it.
 */
export async function checkUpstreams(
  report: Report,
  settings: readonly UpstreamSettings[],
  config: Config,
  db: Database | null,
): Promise<void> {
  const silent = db === null ? new Map<string, string>() : await switchedOff(db)
  const asked = settings.filter(({ name }) => !silent.has(name))
  const version = await readVersion()
  const results = await Promise.all(
    asked.map((one) => contact(one, config, version).catch((error: unknown) => error as Error)),
  )
  for (const { name } of settings) {
    const mode = silent.get(name)
    if (mode !== undefined) report.ok(SUBJECT, `${name}: ${mode}, not asked`)
  }
  const skews: number[] = []
  for (const [index, result] of results.entries()) {
    const { name, url } = asked[index]!
    if (result instanceof Error) report.warn(SUBJECT, `${name}: ${describe(result, url)}`, adviceOn(result, name))
    else {
      report.ok(SUBJECT, `${name}: ${url.href} answers ${result.status} after ${result.ms} ms`)
      if (result.skew !== null) skews.push(result.skew)
    }
  }
  if (asked.length > 0) checkClock(report, skews)
}

/** One upstream with our time is enough: clocks are seldom wrong alike. */
function checkClock(report: Report, skews: readonly number[]): void {
  if (skews.length === 0) {
    report.ok('clock', 'not compared: no upstream said what time it is')
    return
  }
  const least = skews.reduce((a, b) => (Math.abs(b) < Math.abs(a) ? b : a))
  const seconds = Math.round(Math.abs(least) / 1_000)
  if (Math.abs(least) <= SKEW) report.ok('clock', `agrees with the upstreams (${seconds} s apart)`)
  else {
    const text = `this host is ${seconds} s ${least > 0 ? 'behind' : 'ahead of'} the upstreams`
    report.warn('clock', text, 'synchronize it (chrony, systemd-timesyncd): tokens and ages of documents go by it')
  }
}

async function contact(settings: UpstreamSettings, { mirrors }: Config, version: string): Promise<Contact> {
  const clock = { now: () => Date.now() }
  const adapter = upstreamAdapters().get(settings.type)!
  const client = new UpstreamClient({ settings, adapter, config: { ...mirrors, retries: 0 }, clock, version })
  try {
    const started = Date.now()
    const response = await client.send({
      url: settings.url,
      headers: { accept: '*/*' },
      use: 'document',
      headersTimeout: LIMIT,
      signal: AbortSignal.timeout(LIMIT),
      redirect: 'manual',
    })
    const ended = Date.now()
    response.body.destroy()
    const date = Date.parse(response.headers['date'] ?? '')
    const age = Number(response.headers['age'] ?? 0) * 1_000 || 0
    const skew = Number.isNaN(date) ? null : date + age - (started + ended) / 2
    return { status: response.status, ms: ended - started, skew }
  } finally {
    await client.close()
  }
}

/** Name → mode, of those that the server does not ask. */
async function switchedOff({ sequelize }: Database): Promise<Map<string, string>> {
  const rows = await initModels(sequelize).upstream.findAll({ attributes: ['name', 'mode'], raw: true })
  return new Map(rows.filter(({ mode }) => mode !== 'online').map(({ name, mode }) => [name, mode]))
}

function describe(error: Error, url: URL): string {
  const cause = error.cause === undefined ? '' : ` (${reasonOf(error.cause)})`
  return `${url.href}: ${error.message}${error.message.includes(reasonOf(error.cause)) ? '' : cause}`
}

function adviceOn(error: Error, name: string): string {
  const code = codeOf(error)
  const variable = `ENTREPOT_UPSTREAM_${name.toUpperCase().replace(/[^A-Z0-9]/g, '_')}`
  if (code === 'ADDRESS_REFUSED')
    return `if it may be there: allowPrivateNetwork in its file, or ${variable}_ALLOW_PRIVATE_NETWORK=true`
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `see its url (${variable}_URL) and this host’s name service`
  if (/CERT|SIGNED|TLS|SSL|ISSUER/.test(code))
    return 'if its certificate is from your own authority: NODE_EXTRA_CA_CERTS=/path/to/ca.pem'
  if (error instanceof UpstreamUnavailable && error.detail === 'AUTH_FAILED')
    return 'see the credentials that `auth` in its file names'
  return `see its url (${variable}_URL), firewall and proxy (HTTPS_PROXY); switch it offline if it is away for good`
}

function codeOf(error: unknown): string {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as NodeJS.ErrnoException
    if (code !== undefined) return code
    if (at instanceof AggregateError && at.errors.length > 0) return codeOf(at.errors[0])
  }
  return ''
}
