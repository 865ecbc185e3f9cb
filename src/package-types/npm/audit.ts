import semver from 'semver'
import { Invalid } from '../../errors.ts'
import { isObject, type JsonObject } from './metadata.ts'

/** `bulk` lists names and versions; `quick`, the older kind, is a lock file's tree. */
export type AuditKind = 'bulk' | 'quick'

const MAX_DEPTH = 200

/** What a registry that knows no vulnerabilities answers (npm.md §9). */
export function emptyAudit(kind: AuditKind): object {
  if (kind === 'bulk') return {}
  return {
    actions: [],
    advisories: {},
    muted: [],
    metadata: {
      vulnerabilities: { info: 0, low: 0, moderate: 0, high: 0, critical: 0 },
      dependencies: 0,
      devDependencies: 0,
      optionalDependencies: 0,
      totalDependencies: 0,
    },
  }
}

/** Every package name in an audit: npm sends those of all registries to the default one. Invalid for other bodies. */
export function auditedNames(body: unknown, kind: AuditKind): string[] {
  if (!isObject(body)) throw new Invalid('the body is not an audit', 'body')
  if (kind === 'bulk') return Object.keys(body)
  const names = new Set<string>()
  const visit = (node: JsonObject, depth: number) => {
    if (depth > MAX_DEPTH) throw new Invalid(`the audit is nested over ${MAX_DEPTH} levels`, 'body')
    for (const name of Object.keys(object(node['requires']))) names.add(name)
    for (const [name, child] of Object.entries(object(node['dependencies']))) {
      names.add(name)
      visit(object(child), depth + 1)
    }
  }
  visit(body, 0)
  return [...names]
}

/**
 * The part of an audit that an upstream may see: without the hidden names, and of a tree only names and versions. The
 * project's own name, private addresses and whatever else a client adds stay here. `body` has passed `auditedNames`.
 */
export function publicAudit(body: unknown, kind: AuditKind, hidden: ReadonlySet<string>): object {
  const isPublic = ([name]: [string, unknown]) => !hidden.has(name)
  if (kind === 'bulk') return Object.fromEntries(Object.entries(object(body)).filter(isPublic))
  const strip = (node: JsonObject): JsonObject => {
    const requires = Object.entries(object(node['requires'])).filter(isPublic)
    const children = Object.entries(object(node['dependencies']))
      .filter(isPublic)
      .map(([name, child]) => [name, object(child)] as const)
      .filter(([, child]) => typeof child['version'] === 'string' && semver.valid(child['version']) !== null)
    return {
      version: node['version'],
      ...(node['dev'] === true ? { dev: true } : {}),
      ...(node['optional'] === true ? { optional: true } : {}),
      requires: Object.fromEntries(requires.map(([name, range]) => [name, semver.validRange(String(range)) ?? '*'])),
      dependencies: Object.fromEntries(children.map(([name, child]) => [name, strip(child)])),
    }
  }
  return { ...strip(object(body)), name: 'project', version: '0.0.0', install: [], remove: [], metadata: {} }
}

function object(value: unknown): JsonObject {
  return isObject(value) ? value : {}
}
