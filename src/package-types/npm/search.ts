import type { Owner } from '../../auth/owner.ts'
import type { NameRule } from '../../auth/restriction.ts'
import type { PackageRow, VersionRow } from '../../packages/package-info.ts'
import type { Services } from '../../services.ts'
import { isObject, type JsonObject } from './metadata.ts'
import { findPackages, readVersionNumbers, readVersions } from './search-queries.ts'
import { parseManifest, toDistTags } from './stored-packument.ts'

/** Candidates looked at when a qualifier has to be checked in the metadata. */
const MAX_CANDIDATES = 1000
/** Packages whose versions one statement reads. */
const MAX_PAGE = 250

/** What `/-/v1/search` is asked for; the caller has bounded the numbers. */
export interface SearchRequest {
  readonly text: string
  /** The packages that the caller may see; null: all. */
  readonly rules: readonly NameRule[] | null
  /** Private ones too. */
  readonly showsPrivate: boolean
  readonly from: number
  /** At most 250. */
  readonly size: number
}

interface Terms {
  readonly words: string[]
  readonly keywords: string[]
  readonly maintainers: string[]
}

interface Hit {
  readonly row: PackageRow
  readonly latest: VersionRow
  readonly manifest: JsonObject
}

/**
 * Finds packages of one owner by the words of their name. `keywords:` and `maintainer:` are honoured against the latest
 * version, other qualifiers dropped; `%` and `_` mean themselves (npm.md §8). The caller may read the owner.
 */
export async function search(services: Services, owner: Owner, request: SearchRequest): Promise<object> {
  const terms = parseTerms(request.text)
  const isFiltered = terms.keywords.length > 0 || terms.maintainers.length > 0
  const { from, size } = request
  const registry = `${services.config.baseUrl}/api/packages/${owner.name}/npm`
  const found = await findPackages(services.db, {
    ownerId: owner.id,
    words: terms.words,
    rules: request.rules,
    showsPrivate: request.showsPrivate,
    // As JSON has them, so that quotes and escapes match; a mere superset of what is wanted.
    metadataTexts: [...terms.keywords, ...terms.maintainers].map((text) => JSON.stringify(text)),
    ...(isFiltered ? { offset: 0, limit: MAX_CANDIDATES } : { offset: from, limit: size }),
  })
  const hits = await readHits(services, found.rows)
  const matching = isFiltered ? hits.filter(({ manifest }) => matches(manifest, terms)) : hits
  return {
    objects: (isFiltered ? matching.slice(from, from + size) : matching).map((hit) => toObject(hit, registry)),
    total: isFiltered ? matching.length : found.total,
    time: new Date(services.clock.now()).toISOString(),
  }
}

function parseTerms(text: string): Terms {
  const terms: Terms = { words: [], keywords: [], maintainers: [] }
  for (const word of text.split(/\s+/).filter((part) => part !== '')) {
    const [, qualifier, value = ''] = /^([a-z-]+):(.*)$/i.exec(word) ?? []
    if (qualifier === undefined) terms.words.push(word)
    else if (qualifier.toLowerCase() === 'keywords') terms.keywords.push(...value.split(',').filter(Boolean))
    else if (qualifier.toLowerCase() === 'maintainer' && value !== '') terms.maintainers.push(value)
  }
  return terms
}

async function readHits({ db }: Services, rows: readonly PackageRow[]): Promise<Hit[]> {
  const hits: Hit[] = []
  for (let start = 0; start < rows.length; start += MAX_PAGE) {
    const page = rows.slice(start, start + MAX_PAGE)
    const { versions, tags } = await readVersionNumbers(
      db,
      page.map(({ id }) => id),
    )
    const byPackage = new Map(page.map(({ id }) => [id, [] as typeof versions]))
    for (const version of versions) byPackage.get(version.packageId)?.push(version)
    const latestIds = [...byPackage.values()].flatMap((own) => {
      const { latest } = toDistTags({ versions: own, tags })
      return own.filter(({ version }) => version === latest).map(({ id }) => id)
    })
    const latest = new Map((await readVersions(db, latestIds)).map((version) => [version.packageId, version]))
    for (const row of page) {
      const version = latest.get(row.id)
      if (version !== undefined) hits.push({ row, latest: version, manifest: parseManifest(version) })
    }
  }
  return hits
}

function matches(manifest: JsonObject, { keywords, maintainers }: Terms): boolean {
  const own = Array.isArray(manifest['keywords']) ? manifest['keywords'] : []
  const people = Array.isArray(manifest['maintainers']) ? manifest['maintainers'].filter(isObject) : []
  return (
    keywords.every((keyword) => own.includes(keyword)) &&
    maintainers.every((name) => people.some((person) => person['name'] === name))
  )
}

function toObject({ row, latest, manifest }: Hit, registry: string): object {
  const { description, keywords, author, license, homepage, repository, bugs, _npmUser } = manifest
  const { name, email } = isObject(_npmUser) ? _npmUser : {}
  const publisher = { username: name, email }
  const scope = row.name.startsWith('@') ? row.name.slice(1, row.name.indexOf('/')) : 'unscoped'
  return {
    package: {
      name: row.name,
      scope,
      version: latest.version,
      description: typeof description === 'string' ? description : '',
      keywords: Array.isArray(keywords) ? keywords : [],
      date: new Date(latest.createdAt).toISOString(),
      links: { npm: `${registry}/${row.name}`, ...links({ homepage, repository, bugs }) },
      ...(author === undefined ? {} : { author: typeof author === 'string' ? { name: author } : author }),
      publisher,
      maintainers: [publisher],
      ...(license === undefined ? {} : { license }),
    },
    score: { final: 1, detail: { quality: 1, popularity: 1, maintenance: 1 } },
    searchScore: 1,
  }
}

function links(fields: { homepage: unknown; repository: unknown; bugs: unknown }): Record<string, string> {
  const repository = isObject(fields.repository) ? fields.repository['url'] : fields.repository
  const bugs = isObject(fields.bugs) ? fields.bugs['url'] : fields.bugs
  const entries = Object.entries({ homepage: fields.homepage, repository, bugs })
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}
