import { Invalid } from '../../errors.ts'
import { type FilePath, isSnapshot } from './coordinates.ts'
import { childOf, entriesOf, textOf, type XmlElement } from './xml.ts'

/** Characters kept of a text: lists show them. */
const MAX_TEXT = 4096
const MAX_LIST = 1000
/** Characters of JSON that a list may take. */
const MAX_PART = 256 * 1024
/** Characters of a value that an error quotes. */
const MAX_QUOTE = 60

const DEFAULT_PACKAGING = 'jar'
const REFERENCE = /^\$\{([\w.-]+)\}$/
const BUILD = /^\d{8}\.\d{6}-\d+$/

/** Something that the project needs; what its parent's or a BOM's management says is not known. */
export interface Dependency {
  readonly group_id?: string
  readonly artifact_id?: string
  readonly version?: string
}

/** `metadata_json` of a version: Gitea's fields and the packaging. */
export interface MavenMetadata {
  readonly group_id?: string
  readonly artifact_id?: string
  readonly name?: string
  readonly description?: string
  readonly project_url?: string
  readonly licenses?: readonly string[]
  readonly dependencies?: readonly Dependency[]
  readonly packaging?: string
}

/** What a POM says about its project. Coordinates are as written, the parent's where absent, and may hold `${…}`. */
export interface Pom {
  readonly groupId: string | null
  readonly artifactId: string | null
  readonly version: string | null
  readonly packaging: string
  readonly metadata: MavenMetadata
}

/** Without what is absent. */
type Filled<T> = { [K in keyof T]?: Exclude<T[K], undefined> }
type Show = (text: string | null) => string | undefined

/** Reads the root element of a POM. Throws Invalid for what is no project. */
export function readPom(project: XmlElement): Pom {
  if (project.name !== 'project') throw new Invalid('the POM cannot be read: its root element is no project', 'file')
  const coordinates = {
    groupId: textOf(project, 'groupId') ?? textOf(project, 'parent', 'groupId'),
    artifactId: textOf(project, 'artifactId'),
    version: textOf(project, 'version') ?? textOf(project, 'parent', 'version'),
    packaging: textOf(project, 'packaging') ?? DEFAULT_PACKAGING,
  }
  const values = valuesOf(project, coordinates)
  const show: Show = (text) => (text === null ? undefined : cut(resolve(text, values)))
  return {
    ...coordinates,
    metadata: filled({
      group_id: show(coordinates.groupId),
      artifact_id: show(coordinates.artifactId),
      name: show(textOf(project, 'name')),
      description: show(textOf(project, 'description')),
      project_url: toUrl(show(textOf(project, 'url'))),
      licenses: bounded(entriesOf(project, 'licenses', 'license'), (license) => readLicense(license, show)),
      dependencies: bounded(entriesOf(project, 'dependencies', 'dependency'), (entry) => readDependency(entry, show)),
      packaging: show(coordinates.packaging),
    }),
  }
}

/**
 * Throws Invalid where the POM says other coordinates than its path. What it does not say, or leaves to a property, is
 * not compared.
 */
export function checkPom(pom: Pom, path: FilePath): void {
  check('groupId', pom.groupId, path.group)
  check('artifactId', pom.artifactId, path.artifact)
  if (!isBuildOf(pom.version, path.version)) check('version', pom.version, path.version)
}

function check(name: string, said: string | null, expected: string): void {
  if (said === null || said.includes('${') || said === expected) return
  throw new Invalid(`the POM says ${name} ${quote(said)}, its path ${quote(expected)}`, 'file')
}

/** Whether `said` is a build of the snapshot, `1.0-20261121.200011-1` of `1.0-SNAPSHOT`. */
function isBuildOf(said: string | null, version: string): boolean {
  if (said === null || !isSnapshot(version)) return false
  const base = version.slice(0, -'SNAPSHOT'.length)
  return said.startsWith(base) && BUILD.test(said.slice(base.length))
}

function readLicense(license: XmlElement, show: Show): string | undefined {
  return show(textOf(license, 'name') ?? textOf(license, 'url'))
}

function readDependency(dependency: XmlElement, show: Show): Dependency | undefined {
  const found = filled({
    group_id: show(textOf(dependency, 'groupId')),
    artifact_id: show(textOf(dependency, 'artifactId')),
    version: show(textOf(dependency, 'version')),
  })
  return Object.keys(found).length === 0 ? undefined : found
}

/** What `${…}` may stand for: the project's own coordinates and properties. */
function valuesOf(project: XmlElement, coordinates: Omit<Pom, 'metadata'>): ReadonlyMap<string, string> {
  const values = new Map(childOf(project, 'properties')?.children.map(({ name, text }) => [name, text]))
  const own = {
    ...coordinates,
    'parent.groupId': textOf(project, 'parent', 'groupId'),
    'parent.version': textOf(project, 'parent', 'version'),
  }
  for (const [name, value] of Object.entries(own)) {
    if (value === null) continue
    for (const prefix of ['project.', 'pom.']) values.set(prefix + name, value)
  }
  return values
}

/**
 * A value that is nothing but a reference to something that the POM itself says. All else stays as it is: the rest may
 * be the parent's, and replacing within texts would let a small POM grow without bound.
 */
function resolve(text: string, values: ReadonlyMap<string, string>): string {
  return values.get(REFERENCE.exec(text)?.[1] ?? '') || text
}

/** Only web addresses: these become links. */
function toUrl(text: string | undefined): string | undefined {
  if (text === undefined || !URL.canParse(text)) return undefined
  return ['http:', 'https:'].includes(new URL(text).protocol) ? text : undefined
}

/** What the first entries say, as many as a list can show; undefined for none. */
function bounded<T>(entries: readonly XmlElement[], read: (entry: XmlElement) => T | undefined): T[] | undefined {
  const kept: T[] = []
  let size = 0
  for (const entry of entries) {
    const value = read(entry)
    if (value === undefined) continue
    size += JSON.stringify(value).length
    if (size > MAX_PART || kept.length === MAX_LIST) break
    kept.push(value)
  }
  return kept.length === 0 ? undefined : kept
}

function filled<T extends object>(fields: T): Filled<T> {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Filled<T>
}

/** To what a list can show, and not within a character. */
function cut(text: string): string {
  return text.slice(0, MAX_TEXT).replace(/[\ud800-\udbff]$/, '')
}

function quote(text: string): string {
  return text.length > MAX_QUOTE ? `${text.slice(0, MAX_QUOTE)}…` : text
}
