import { type Config, loadConfig } from '../../config/config.ts'
import { requireKnownTypes } from '../../services.ts'
import { readGlobalCa } from '../../upstream/network-settings.ts'
import { readUpstreamFiles } from '../../upstream/upstream-file.ts'
import type { UpstreamSettings } from '../../upstream/upstream-settings.ts'
import { parseAllowedHosts } from '../../webhooks/allowed-hosts.ts'
import { packageRules, upstreamAdapters } from '../start.ts'
import { type Report, reasonOf } from './report.ts'

const LOCAL = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/

/** The settings, or null when the server would not start with them. */
export async function checkConfiguration(report: Report, environment: NodeJS.ProcessEnv): Promise<Config | null> {
  try {
    const config = await loadConfig(environment)
    requireKnownTypes(config, packageRules())
    parseAllowedHosts(config.webhooks.allowedHosts)
    parseAllowedHosts(config.trustedPublishing.allowedHosts, 'trustedPublishing.allowedHosts')
    report.ok(
      'configuration',
      `${environment['ENTREPOT_CONFIG'] || 'no file of its own (ENTREPOT_CONFIG)'}, understood`,
    )
    checkBaseUrl(report, config)
    return config
  } catch (error) {
    report.fail('configuration', reasonOf(error), 'config/default.yaml lists every setting and what it may be')
    return null
  }
}

/** The declared upstreams, or null when the server would not start with them. */
export async function readUpstreams(
  report: Report,
  { upstreamsDir, mirrors }: Config,
  environment: NodeJS.ProcessEnv,
): Promise<UpstreamSettings[] | null> {
  try {
    const settings = await readUpstreamFiles(
      upstreamsDir,
      environment,
      upstreamAdapters(),
      await readGlobalCa(mirrors.caFile),
    )
    if (settings.length === 0) report.ok('upstreams', `${upstreamsDir} declares none`)
    return settings
  } catch (error) {
    report.fail('upstreams', reasonOf(error), `the server does not start before this is mended; see ${upstreamsDir}`)
    return null
  }
}

/** Whether clients elsewhere can use what documents say: they contain this URL. */
export function checkBaseUrl(report: Report, { baseUrl, host }: Config): void {
  const url = new URL(baseUrl)
  const isLocal = LOCAL.test(url.hostname)
  const isOpen = !LOCAL.test(host) && host !== '::1'
  if (isLocal && isOpen) {
    report.warn(
      'base URL',
      `the server listens on ${host}, and tells clients on other hosts to go to ${baseUrl}`,
      'set baseUrl (ENTREPOT_BASE_URL) to what clients see, e.g. https://packages.example.org',
    )
  } else if (url.pathname !== '/') {
    report.warn(
      'base URL',
      `${baseUrl} has a path, and container clients look for /v2/ at the root of the host`,
      'give Entrepot a host name of its own',
    )
  } else if (!isLocal && url.protocol === 'http:') {
    report.warn(
      'base URL',
      `${baseUrl}: passwords and tokens travel as they are, and docker refuses plain http`,
      'put a proxy with TLS in front, and set baseUrl to its https:// URL',
    )
  } else report.ok('base URL', baseUrl)
}
