import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildArtifact, buildImage, buildIndex, digestOf, type Manifest, types } from '../../support/builders/image.ts'
import { TestApp } from '../../support/test-app.ts'
import { Images } from './images.ts'

interface Version {
  id: number
  name: string
  version: string
  html_url: string
  metadata: Record<string, unknown>
}

let server: TestApp
let alice: string
let images: Images
let amd: Manifest
let arm: Manifest
let index: Manifest
const PACKAGE = `/packages/alice/container/${encodeURIComponent('te/am/app')}`

beforeAll(async () => {
  server = await TestApp.start()
  alice = await server.createUser('alice')
  images = new Images(server, 'alice/te/am/app', alice)
  const labels = { maintainer: 'Alice', 'org.opencontainers.image.licenses': 'MIT' }
  const platform = (architecture: string) => ({ os: 'linux', architecture })
  amd = await images.pushImage('amd64', 'amd', { config: { ...platform('amd64'), config: { Labels: labels } } })
  arm = await images.pushImage('Arm64', 'arm', { config: { ...platform('arm64'), variant: 'v8' } })
  index = buildIndex([
    { child: amd, platform: platform('amd64') },
    { child: arm, platform: { ...platform('arm64'), variant: 'v8' } },
  ])
  await images.push('latest', index)
})
afterAll(() => server.close())

const get = (path: string) => server.api('GET', path, undefined, alice)
const versionOf = async (version: string): Promise<Version> => {
  const response = await get(`${PACKAGE}/${encodeURIComponent(version)}`)
  expect(response.statusCode, response.body).toBe(200)
  return response.json() as Version
}
const sizeOf = ({ bytes, blobs }: Manifest) => blobs.reduce((sum, blob) => sum + blob.bytes.length, bytes.length)

test('an image has a version for each tag and for each manifest, and none for what waits to be named', async () => {
  await images.upload(buildImage({ layers: ['waiting'] }).blobs)
  for (const path of ['/packages/alice', '/packages/alice?type=container&q=TE/AM', PACKAGE]) {
    const versions = (await get(path)).json() as Version[]
    expect(versions.map(({ version }) => version).sort()).toEqual(
      ['latest', 'amd64', 'Arm64', amd.digest, arm.digest, index.digest].sort(),
    )
    expect(new Set(versions.map(({ name }) => name))).toEqual(new Set(['te/am/app']))
  }
})

test('an image tells its platform, its size and its labels, under each of its names', async () => {
  for (const [reference, isTagged] of [
    ['amd64', true],
    [amd.digest, false],
  ] as const) {
    expect((await versionOf(reference)).metadata).toEqual({
      type: 'oci',
      is_tagged: isTagged,
      platform: 'linux/amd64',
      license: 'MIT',
      labels: { maintainer: 'Alice', 'org.opencontainers.image.licenses': 'MIT' },
      size: sizeOf(amd),
      media_type: types.manifest,
      artifact_type: types.config,
    })
  }
  expect((await versionOf('Arm64')).metadata).toMatchObject({ platform: 'linux/arm64/v8', size: sizeOf(arm) })
})

test('an index tells its children with all that they take', async () => {
  const { metadata } = await versionOf('latest')
  expect(metadata).toEqual({
    type: 'oci',
    is_tagged: true,
    manifests: [
      { platform: 'linux/amd64', digest: amd.digest, size: sizeOf(amd) },
      { platform: 'linux/arm64/v8', digest: arm.digest, size: sizeOf(arm) },
    ],
    size: index.bytes.length + sizeOf(amd) + sizeOf(arm),
    media_type: types.index,
  })
})

test('a chart and an artifact say what they are', async () => {
  const chart = buildImage({ config: { description: 'A chart.', home: 'https://example.org' }, configType: types.helm })
  await images.push('chart', chart)
  expect((await versionOf('chart')).metadata).toMatchObject({
    ...{ type: 'helm', description: 'A chart.', project_url: 'https://example.org', artifact_type: types.helm },
  })
  const annotations = { note: 'x' }
  const sbom = buildArtifact('application/sbom', { subject: amd, fields: { annotations } })
  await images.push('sbom', sbom)
  expect((await versionOf(sbom.digest)).metadata).toMatchObject({ artifact_type: 'application/sbom', annotations })
  const { metadata } = await versionOf('sbom')
  expect(metadata).toMatchObject({ artifact_type: 'application/sbom' })
  expect(metadata).not.toHaveProperty('annotations')
  expect(metadata).not.toHaveProperty('platform')
  for (const tag of ['chart', 'sbom']) await images.delete(tag)
})

test('a list stays small whatever a manifest says of itself, under however many tags', async () => {
  const large = new Images(server, 'alice/large', alice)
  const annotations = { pad: 'x'.repeat(5_000_000) }
  const artifact = buildArtifact('application/x', { subject: amd, fields: { annotations } })
  const tags = Array.from({ length: 40 }, (_, number) => `tag=t${number}`).join('&')
  await large.push(`${artifact.digest}?${tags}`, artifact)
  const list = await get('/packages/alice/container/large?limit=50')
  expect(list.json()).toHaveLength(41)
  expect(list.rawPayload.length).toBeLessThan(100_000)
  await server.api('DELETE', '/packages/alice/container/large', undefined, alice)
})

test('versions are found in their own case, and linked in it', async () => {
  const version = await versionOf('Arm64')
  expect(version.html_url).toMatch(/\/alice\/-\/packages\/container\/te%2Fam%2Fapp\/Arm64$/)
  for (const other of [
    'arm64',
    'ARM64',
    'LATEST',
    amd.digest.toUpperCase(),
    digestOf(amd.bytes, 'sha512'),
    '~uploads',
  ]) {
    expect((await get(`${PACKAGE}/${encodeURIComponent(other)}`)).statusCode, other).toBe(404)
  }
  const lower = await images.pushImage('arm64', 'lower')
  expect((await versionOf('arm64')).id).not.toBe(version.id)
  expect((await versionOf('Arm64')).id).toBe(version.id)
  await images.delete(lower.digest)
  expect((await versionOf(amd.digest)).html_url).toContain('sha256%3A')
})

test('the name may be written in any case, as for all packages', async () => {
  const upper = `/packages/alice/container/${encodeURIComponent('Te/Am/App')}`
  expect((await get(`${upper}/Arm64`)).json()).toMatchObject({ name: 'te/am/app', version: 'Arm64' })
  expect((await get(`${upper}/ARM64`)).statusCode).toBe(404)
})

test('files are the manifest and, of a digest, its blobs, with sizes and digests', async () => {
  interface File {
    name: string
    size: number
    sha256: string
    sha512: string
    md5: string
  }
  const filesOf = async (version: string) =>
    (await get(`${PACKAGE}/${encodeURIComponent(version)}/files`)).json() as File[]
  const manifest = { name: 'manifest.json', size: amd.bytes.length, sha256: amd.digest.slice(7) }
  expect(await filesOf('amd64')).toEqual([expect.objectContaining(manifest)])
  const files = await filesOf(amd.digest)
  expect(files).toEqual([
    expect.objectContaining(manifest),
    ...[...amd.blobs]
      .sort((a, b) => (a.digest < b.digest ? -1 : 1))
      .map(({ bytes, digest }) =>
        expect.objectContaining({
          ...{ name: digest.replace(':', '_'), size: bytes.length, sha256: digest.slice(7) },
          sha512: digestOf(bytes, 'sha512').slice(7),
        }),
      ),
  ])
})

test('latest is what came last', async () => {
  const before = (await get(`${PACKAGE}/-/latest`)).json() as Version
  const image = await images.pushImage('newest', 'newest')
  const after = (await get(`${PACKAGE}/-/latest`)).json() as Version
  expect(after.version).toBe('newest')
  expect(after.id).toBeGreaterThan(before.id)
  await images.delete(image.digest)
})
