import type { Place } from '../support/rights-world.ts'
import type { Route } from '../support/routes.ts'

/** A route with the one of its resources that is asked for, where it has several. */
export interface Row {
  readonly route: Route
  /** What the table calls it: method, URL, and what is asked for. */
  readonly label: string
  readonly path: string
  /** Of whom it may be asked; empty: it is about nobody in particular. */
  readonly kinds: readonly Place['kind'][]
}

/** What is asked for behind a wildcard, by what the URL begins with. */
const wildcards: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  '/v2/': {
    manifest: ':owner/lib/{package}/manifests/1.0',
    blob: ':owner/lib/{package}/blobs/:digest',
    tags: ':owner/lib/{package}/tags/list',
    referrers: ':owner/lib/{package}/referrers/:digest',
    upload: ':owner/lib/{package}/blobs/uploads/:upload',
  },
  '/mirror/:mirror/v2/': {
    manifest: 'lib/{package}/manifests/1.0',
    blob: 'lib/{package}/blobs/:digest',
    tags: 'lib/{package}/tags/list',
  },
  '/api/packages/:owner/maven/': {
    file: 'com/example/{package}/1.0.0/{package}-1.0.0.jar',
    checksum: 'com/example/{package}/1.0.0/{package}-1.0.0.jar.sha1',
    metadata: 'com/example/{package}/maven-metadata.xml',
  },
  '/api/packages/:owner/npm/': {
    document: '{package}',
    version: '{package}/1.0.0',
    tarball: '{package}/-/{package}-1.0.0.tgz',
  },
  '/api/packages/:owner/npm/-/package/': {
    tags: '{package}/dist-tags',
    visibility: '{package}/visibility',
    collaborators: '{package}/collaborators',
  },
}

/** Parameters that mean the same wherever they stand; those of a place come first. */
const values: Readonly<Record<string, string>> = {
  type: 'generic',
  name: '{package}',
  version: '1.0.0',
  filename: 'file.txt',
  repository: 'repo',
  user: 'org.couchdb.user:read',
  revision: '1',
  key: '0',
  token: '0',
  spec: '{package}@1.0.0',
  scope: '@none',
  upstream: 'npm-public',
  mirror: 'mirror-public',
  task: 'cleanup_packages',
  publisher: '0',
  identity: '0',
  // None is configured, so that there is none of that name.
  provider: 'none',
  secret: '0',
  policy: '0',
}

/** What a route needs to be asked at all. */
const queries: Readonly<Record<string, string>> = {
  '/quota/check': '?subject=size:all',
  '/packages/explain': '?owner={owner}&type=npm&name={package}&version=1.0.0',
  '/packages/resolve': '?owner={owner}&type=npm&name={package}',
  '/v2/token': '?service=127.0.0.1:8080',
}

/** Every row of a route. HEAD is not in the table: it is to be what GET is. */
export function rowsOf(route: Route): Row[] {
  const { method, url } = route
  if (method === 'HEAD') return []
  const kinds = kindsOf(url)
  const query = Object.entries(queries).find(([end]) => url.endsWith(end))?.[1] ?? ''
  if (!url.endsWith('*')) return [{ route, label: `${method} ${url}`, path: url + query, kinds }]
  const start = url.slice(0, -1)
  const resources = wildcards[start]
  if (resources === undefined) throw new Error(`nobody has said what is behind ${url}`)
  return Object.entries(resources).map(([what, path]) => ({
    route,
    label: `${method} ${url} ${what}`,
    path: start + path,
    kinds,
  }))
}

/** Whether a row is about a package, which may be private. */
export function namesPackage({ path }: Row): boolean {
  return path.includes('{package}') || path.includes('/:name')
}

/** The path at a place. Throws for a parameter that nobody has given a value. */
export function pathAt(row: Row, place: Place): string {
  return row.path
    .replace(/(?<=^|\/):([a-z]\w*)/g, (_match, name: string) => {
      const value = place.values[name] ?? values[name]
      if (value === undefined) throw new Error(`${row.label}: nobody has said what :${name} is`)
      return encodeURIComponent(value).replaceAll('%3A', ':').replaceAll('%7Bpackage%7D', '{package}')
    })
    .replaceAll('{package}', place.package)
    .replaceAll('{owner}', place.name)
}

function kindsOf(url: string): Place['kind'][] {
  if (url.startsWith('/mirror/')) return ['mirror']
  if (url.startsWith('/v2/*') || url.startsWith('/api/packages/') || url.includes('/api/v1/packages/')) {
    return ['org', 'user', 'mirror']
  }
  if (/\/admin\/(hooks|policies)/.test(url)) return ['site']
  if (/\/:(org|team)\b/.test(url)) return ['org']
  if (url.includes('/:owner')) return ['org', 'user']
  return url.includes('/:username') ? ['user'] : []
}
