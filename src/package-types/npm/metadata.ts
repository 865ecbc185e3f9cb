import { Invalid } from '../../errors.ts'
import { type Digests, formatIntegrity } from '../../storage/digest.ts'
import { normalizeVersion } from './names.ts'
import type { TarballContents } from './tarball.ts'

/** A JSON object whose fields nobody has looked at. */
export type JsonObject = Record<string, unknown>

/** Who published a version, as packuments name people. */
export interface Person {
  readonly name: string
  readonly email: string
}

/**
 * One version's package.json as registries serve it; what `metadata_json` keeps is this without `dist.tarball`, which
 * depends on our address, and without the readme. Fields we do not know stay as they were published.
 */
export interface Manifest extends JsonObject {
  name: string
  version: string
  dist: JsonObject
}

const INSTALL_SCRIPTS = ['preinstall', 'install', 'postinstall'] as const
// Fields that start with an underscore belong to the registry; these two say what the client was.
const CLIENT_FIELDS = new Set(['_nodeVersion', '_npmVersion'])
const OUR_FIELDS = new Set(['dist', 'maintainers', 'hasInstallScript', 'readme', 'deprecated'])

/** Whether a value is a JSON object: neither null nor an array. */
export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/**
 * What we keep and serve of a published version: the client's fields, except those a client must not decide: digests,
 * sizes, who published it, and what the tarball itself shows (npm.md §3.2, §3.4; security.md S24).
 */
export function toManifest(
  published: JsonObject,
  known: { name: string; version: string; digests: Digests; contents: TarballContents; publisher: Person },
): Manifest {
  const { name, version, digests, contents, publisher } = known
  const kept = Object.entries(published).filter(
    ([field, value]) =>
      !OUR_FIELDS.has(field) &&
      (!field.startsWith('_') || CLIENT_FIELDS.has(field)) &&
      // bun repeats the digests beside `dist`.
      !((field === 'integrity' || field === 'shasum') && typeof value === 'string'),
  )
  const { deprecated } = published
  return {
    ...Object.fromEntries(kept),
    _id: `${name}@${version}`,
    name,
    version,
    dist: {
      integrity: formatIntegrity(digests),
      shasum: digests.sha1,
      fileCount: contents.fileCount,
      unpackedSize: contents.unpackedSize,
    },
    _npmUser: publisher,
    maintainers: [publisher],
    _hasShrinkwrap: contents.hasShrinkwrap,
    ...(hasInstallScript(contents.packageJson, contents.hasGypFile) ? { hasInstallScript: true } : {}),
    ...(typeof deprecated === 'string' && deprecated !== '' ? { deprecated } : {}),
  }
}

/** Whether installing runs code of the package, by its package.json and a `*.gyp` beside it. */
export function hasInstallScript(packageJson: JsonObject, hasGypFile: boolean): boolean {
  if (INSTALL_SCRIPTS.some((script) => scriptOf(packageJson, script) !== '')) return true
  return hasGypFile && packageJson['gypfile'] !== false
}

/**
 * Throws Invalid when the published metadata and the tarball's package.json tell different stories: another name or
 * version, other install scripts, other dependencies. What resolvers and scanners read must be what runs (security.md
 * S25). Only names of dependencies are compared: clients rewrite git addresses while publishing.
 */
export function checkAgainstTarball(published: JsonObject, contents: TarballContents): void {
  const { packageJson, hasGypFile } = contents
  const name = packageJson['name']
  if (typeof name !== 'string' || name.trim() !== published['name']) throw differs('name')
  const version = normalizeVersion(packageJson['version'])
  if (version === null || version !== normalizeVersion(published['version'])) throw differs('version')
  for (const script of INSTALL_SCRIPTS) {
    const expected = scriptOf(packageJson, script)
    const actual = scriptOf(published, script)
    // npm adds this one to the metadata only.
    const isAdded = script === 'install' && expected === '' && hasGypFile && actual === 'node-gyp rebuild'
    if (actual !== expected && !isAdded) throw differs(`scripts.${script}`)
  }
  const bundled = new Set([...bundledNames(packageJson), ...bundledNames(published)])
  const expected = dependencyNames(packageJson)
  const actual = dependencyNames(published)
  if (expected === null || actual === null) return
  for (const dependency of new Set([...expected, ...actual])) {
    if (expected.has(dependency) !== actual.has(dependency) && !bundled.has(dependency)) throw differs('dependencies')
  }
}

function differs(field: string): Invalid {
  return new Invalid(`the tarball's package.json has another ${field} than the published metadata`, 'version')
}

function scriptOf(manifest: JsonObject, name: string): string {
  const scripts = manifest['scripts']
  const script = isObject(scripts) && Object.hasOwn(scripts, name) ? scripts[name] : undefined
  // npm cuts this prefix while publishing.
  return typeof script === 'string' ? script.replace(/^(\.[/\\])?node_modules[/\\].bin[\\/]/, '').trim() : ''
}

/** Null where very old forms (a list, a string) leave open what is meant. */
function dependencyNames(manifest: JsonObject): Set<string> | null {
  const names = new Set<string>()
  for (const field of ['dependencies', 'optionalDependencies']) {
    const dependencies = manifest[field] ?? {}
    if (!isObject(dependencies)) return null
    for (const [name, range] of Object.entries(dependencies)) if (typeof range === 'string') names.add(name)
  }
  return names
}

function bundledNames(manifest: JsonObject): string[] {
  const bundled = manifest['bundleDependencies'] ?? manifest['bundledDependencies']
  if (Array.isArray(bundled)) return bundled.filter((name) => typeof name === 'string')
  return isObject(bundled) ? Object.keys(bundled) : []
}
