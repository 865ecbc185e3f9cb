import { createHash } from 'node:crypto'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'

/** Bytes of the tarballs of versions that only have to be there. */
export const SMALL = 500

/**
 * A manifest of the size that published ones have.
 *
 * @param {string} name
 * @param {string} version
 */
export function makeManifest(name, version) {
  const dependencies = Array.from({ length: 8 }, (_, n) => [`${name}-part-${n}`, `^${n}.2.0`])
  return {
    name,
    version,
    description: `What ${name} is for, in about as many words as its authors would have found for it`,
    main: 'lib/index.js',
    types: 'lib/index.d.ts',
    license: 'MIT',
    author: { name: 'A Person', email: 'person@example.org' },
    repository: { type: 'git', url: `git+https://example.org/${name}.git` },
    bugs: { url: `https://example.org/${name}/issues` },
    homepage: `https://example.org/${name}#readme`,
    keywords: ['bench', 'package', 'registry', 'version'],
    engines: { node: '>=18' },
    scripts: { build: 'tsc', test: 'node --test', lint: 'eslint .', prepublishOnly: 'npm run build' },
    dependencies: Object.fromEntries(dependencies),
    devDependencies: { eslint: '^9.0.0', typescript: '^5.0.0' },
  }
}

/**
 * A real npm tarball of about `size` bytes.
 *
 * @param {object} manifest
 * @param {number} size
 */
async function makeTarball(manifest, size) {
  const archive = pack()
  archive.entry({ name: 'package/package.json' }, JSON.stringify(manifest))
  archive.entry({ name: 'package/lib/index.js' }, makeNoise(JSON.stringify(manifest), size))
  archive.finalize()
  return gzipSync(await buffer(archive), { level: 1 })
}

/**
 * What a packument says about a tarball's bytes.
 *
 * @param {Buffer | string} bytes
 */
export function digestTarball(bytes) {
  return {
    integrity: `sha512-${createHash('sha512').update(bytes).digest('base64')}`,
    shasum: createHash('sha1').update(bytes).digest('hex'),
  }
}

/**
 * Bytes that do not compress, the same for the same seed.
 *
 * @param {string} seed
 * @param {number} size
 */
export function makeNoise(seed, size) {
  const noise = Buffer.alloc(size)
  let block = createHash('sha512').update(seed).digest()
  for (let at = 0; at < size; at += block.length) {
    block.copy(noise, at)
    block = createHash('sha512').update(block).digest()
  }
  return noise
}

/**
 * The body of an `npm publish`.
 *
 * @param {string} name
 * @param {string} version
 * @param {number} size of the tarball, bytes
 * @returns {Promise<string>}
 */
export async function makePublication(name, version, size) {
  const manifest = makeManifest(name, version)
  const bytes = await makeTarball(manifest, size)
  const file = `${name}-${version}.tgz`
  const dist = { ...digestTarball(bytes), tarball: `http://127.0.0.1/${name}/-/${file}` }
  return JSON.stringify({
    _id: name,
    name,
    'dist-tags': { latest: version },
    versions: { [version]: { ...manifest, readme: `# ${name}\n`, _id: `${name}@${version}`, dist } },
    access: null,
    _attachments: {
      [file]: { content_type: 'application/octet-stream', data: bytes.toString('base64'), length: bytes.length },
    },
  })
}
