import { describe, expect, test } from 'vitest'
import {
  type Packument,
  preferredForm,
  renderManifest,
  renderPackument,
} from '../../../src/package-types/npm/packument.ts'
import { toDistTags, toPackument, toRevision } from '../../../src/package-types/npm/stored-packument.ts'
import type { PackageRow, VersionRow } from '../../../src/packages/package-info.ts'

const base = 'https://packages.example.org'

/** As registries send one: every kind of field, some of them odd. */
const upstream = {
  _id: '@acme/b',
  _rev: '12-upstream',
  name: '@acme/b',
  'dist-tags': { latest: '1.1.0', next: '2.0.0-beta' },
  versions: {
    '1.0.0': {
      name: '@acme/b',
      version: '1.0.0',
      license: { type: 'MIT' },
      engines: ['node >= 0.4'],
      bundledDependencies: ['x'],
      deprecated: false,
      scripts: { postinstall: 'node build' },
      readme: 'kept where an upstream has it',
      dist: { shasum: 'a'.repeat(40), tarball: 'http://registry.example/@acme/b/-/@acme/b-1.0.0.tgz?x=1' },
    },
    '1.1.0': {
      name: '@acme/b',
      version: '1.1.0',
      main: 'index.js',
      bin: { b: 'cli.js' },
      dependencies: { c: '^1.0.0' },
      devDependencies: { d: '1' },
      optionalDependencies: { e: '1' },
      peerDependencies: { f: '1' },
      peerDependenciesMeta: { f: { optional: true } },
      acceptDependencies: { c: '2' },
      bundleDependencies: true,
      directories: {},
      engines: { node: '>=20' },
      cpu: ['x64'],
      os: ['linux'],
      libc: ['glibc'],
      funding: { url: 'https://example.org' },
      deprecated: 'use 2',
      exports: { '.': './index.js' },
      somethingNew: { deep: [1, 2, { three: null }] },
      _hasShrinkwrap: false,
      hasInstallScript: true,
      dist: {
        integrity: 'sha512-xyz==',
        shasum: 'b'.repeat(40),
        tarball: 'http://registry.example/b.tgz',
        fileCount: 2,
        unpackedSize: 3,
        signatures: [{ keyid: 'SHA256:k', sig: 's' }],
        attestations: {
          url: 'http://registry.example/-/npm/v1/attestations/@acme%2fb@1.1.0',
          provenance: { predicateType: 'https://slsa.dev/provenance/v1' },
        },
        'npm-signature': 'pgp',
      },
    },
    '2.0.0-beta': { name: '@acme/b', version: '2.0.0-beta', deprecated: true },
  },
  time: {
    created: '2020-01-01T00:00:00.000Z',
    modified: '2021-01-01T00:00:00.000Z',
    '1.0.0': '2020-01-01T00:00:00.000Z',
    '1.1.0': '2020-06-01T00:00:00.000Z',
  },
  maintainers: [{ name: 'alice', email: 'a@example.org' }],
  readme: '# b',
  users: { bob: true },
  _attachments: { 'x.tgz': {} },
  newTopLevelField: [true],
} as unknown as Packument

const render = (document: Packument, form: 'full' | 'abbreviated') =>
  JSON.parse(renderPackument({ document, revision: '3-abc' }, form, base, 'acme').toString())

describe('a rendered packument', () => {
  test('in full', () => {
    expect(render(upstream, 'full')).toMatchSnapshot()
  })

  test('abbreviated', () => {
    expect(render(upstream, 'abbreviated')).toMatchSnapshot()
  })

  test('of one version', () => {
    expect(JSON.parse(renderManifest(upstream, '1.1.0', base, 'acme').toString())).toEqual(
      render(upstream, 'full').versions['1.1.0'],
    )
  })

  test('differs from what came in its addresses and revision only', () => {
    const full = render(upstream, 'full')
    const expected = structuredClone(upstream) as unknown as Record<string, Record<string, Record<string, never>>>
    delete expected['_attachments']
    expect(full._rev).toBe('3-abc')
    full._rev = upstream['_rev']
    for (const [version, manifest] of Object.entries<Record<string, Record<string, unknown>>>(full.versions)) {
      expect(manifest['dist']!['tarball']).toBe(`${base}/api/packages/acme/npm/@acme/b/-/b-${version}.tgz`)
      const original = upstream.versions[version]!['dist'] as Record<string, unknown> | undefined
      if (original === undefined) delete manifest['dist']
      else Object.assign(manifest['dist']!, { tarball: original['tarball'], attestations: original['attestations'] })
    }
    expect(JSON.parse(JSON.stringify(full))).toEqual(expected)
  })

  test('leaves what it is rendered from as it was', () => {
    const before = JSON.stringify(upstream)
    render(upstream, 'full')
    render(upstream, 'abbreviated')
    expect(JSON.stringify(upstream)).toBe(before)
  })

  test('sends attestations to our prefix, not to the root of our host', () => {
    const { dist } = render(upstream, 'abbreviated').versions['1.1.0']
    expect(dist.attestations).toEqual({
      url: `${base}/api/packages/acme/npm/-/npm/v1/attestations/@acme%2fb@1.1.0`,
      provenance: { predicateType: 'https://slsa.dev/provenance/v1' },
    })
    expect(dist.signatures).toEqual([{ keyid: 'SHA256:k', sig: 's' }])
    expect(dist.integrity).toBe('sha512-xyz==')
  })

  test('invents no integrity and no time', () => {
    const { time, ...rest } = upstream
    const document = rest as Packument
    for (const form of ['full', 'abbreviated'] as const) {
      const rendered = render(document, form)
      expect(rendered).not.toHaveProperty('time')
      expect(rendered).not.toHaveProperty('modified')
      expect(rendered.versions['1.0.0'].dist).not.toHaveProperty('integrity')
    }
  })

  test('encodes in addresses what would change them', () => {
    const document = { name: 'a b?#', 'dist-tags': {}, versions: { '1.0.0+x/y': {} } } as Packument
    expect(render(document, 'full').versions['1.0.0+x/y'].dist.tarball).toBe(
      `${base}/api/packages/acme/npm/a%20b%3F%23/-/a%20b%3F%23-1.0.0%2Bx/y.tgz`,
    )
  })

  test('holds fields called __proto__ without harm', () => {
    const document = JSON.parse(
      '{"name":"a","dist-tags":{"__proto__":"1.0.0"},"versions":{"1.0.0":{"__proto__":{"x":1}}}}',
    )
    const text = renderPackument({ document, revision: '1-a' }, 'full', base, 'acme').toString()
    expect(text).toContain('"__proto__":"1.0.0"')
    expect(text).toContain('"__proto__":{"x":1}')
  })

  test('says what a policy hides, in both forms', () => {
    const document = { ...upstream, policyRestrictions: { message: 'too young', versions: ['3.0.0'] } } as Packument
    for (const form of ['full', 'abbreviated'] as const) {
      expect(render(document, form).policyRestrictions).toEqual(document['policyRestrictions'])
    }
  })
})

describe('the form that a client wants', () => {
  const abbreviated = 'application/vnd.npm.install-v1+json'
  test.each([
    [undefined, 'full'],
    ['*/*', 'full'],
    ['application/json', 'full'],
    ['text/html', 'full'],
    [abbreviated, 'abbreviated'],
    [abbreviated.toUpperCase(), 'abbreviated'],
    [`${abbreviated}; q=1.0, application/json; q=0.8, */*`, 'abbreviated'],
    [`application/json;q=0.9,${abbreviated};q=0.8`, 'full'],
    [`application/json;q=0.7, ${abbreviated}`, 'abbreviated'],
    [`${abbreviated}, application/json`, 'abbreviated'],
    [`application/json, ${abbreviated}`, 'full'],
    [`${abbreviated};q=0, */*`, 'full'],
    [`${abbreviated};q=nonsense`, 'full'],
  ])('%s: %s', (accept, form) => {
    expect(preferredForm(accept)).toBe(form)
  })
})

describe('the document of our own rows', () => {
  const row = { id: 1, name: 'Tool', lowerName: 'tool' } as PackageRow
  const version = (id: number, number: string, more: object = {}, day = id): VersionRow =>
    ({
      id,
      version: number,
      createdAt: Date.UTC(2026, 0, day),
      metadataJson: JSON.stringify({ name: 'Tool', version: number, ...more }),
    }) as VersionRow
  const tag = (name: string, versionId: number) => ({ tag: name, versionId })

  test('has everything clients rely on', () => {
    const alice = { name: 'alice', email: 'alice@noreply.example.org' }
    const rows = {
      versions: [
        version(1, '1.0.0', { description: 'old', _npmUser: alice }),
        version(2, '2.0.0', { description: 'new', license: 'MIT', keywords: ['k'], _npmUser: alice }),
      ],
      tags: [tag('latest', 2), tag('old', 1)],
      changedAt: Date.UTC(2026, 5, 1),
    }
    const input = toPackument(row, rows, '# Tool')!
    expect(render(input.document, 'full')).toMatchSnapshot()
    expect(input.revision).toBe(toRevision(rows))
  })

  test('is none without versions', () => {
    expect(toPackument(row, { versions: [], tags: [], changedAt: 0 }, '')).toBeNull()
  })

  test.each([
    ['the tag', [version(1, '1.0.0'), version(2, '2.0.0')], [tag('latest', 1)], '1.0.0'],
    [
      'the highest release without a tag',
      [version(1, '1.9.0'), version(2, '1.10.0'), version(3, '2.0.0-rc.1')],
      [],
      '1.10.0',
    ],
    ['the highest prerelease without a release', [version(1, '1.0.0-a'), version(2, '1.0.0-b')], [], '1.0.0-b'],
    ['never a version that is gone', [version(1, '1.0.0')], [tag('latest', 7)], '1.0.0'],
  ])('latest is %s', (_what, versions, tags, latest) => {
    expect(toDistTags({ versions, tags })).toEqual({ latest })
  })

  test('has another revision after every change', () => {
    const rows = { versions: [version(1, '1.0.0')], tags: [tag('latest', 1)], changedAt: 5 }
    const changed = [
      { ...rows, versions: [...rows.versions, version(2, '2.0.0')] },
      { ...rows, versions: [] },
      { ...rows, versions: [version(1, '1.0.0', { deprecated: 'x' })] },
      { ...rows, versions: [version(2, '1.0.0')] },
      { ...rows, tags: [] },
      { ...rows, tags: [tag('latest', 1), tag('next', 1)] },
      { ...rows, changedAt: 6 },
    ]
    const revisions = [rows, ...changed].map(toRevision)
    expect(new Set(revisions).size).toBe(revisions.length)
    expect(toRevision({ ...rows, versions: [...rows.versions] })).toBe(revisions[0])
  })
})
