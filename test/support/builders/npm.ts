import { buildNpmTarball, type NpmTarball } from './npm-tarball.ts'

/** What to publish; `manifest` and `files` go into the tarball. */
export interface PublicationInput {
  readonly name: string
  readonly version: string
  readonly manifest?: Record<string, unknown>
  readonly files?: Record<string, string | Buffer>
  readonly padding?: number
  /** The tags of the document; `latest` unless told. */
  readonly tags?: readonly string[]
  /** A tarball made elsewhere. */
  readonly tarball?: NpmTarball
}

/** A publish document as npm sends it; its parts may be changed by a test. */
export interface Publication {
  _id: string
  name: string
  description?: unknown
  'dist-tags': Record<string, string>
  versions: Record<string, Record<string, unknown>>
  access: null
  _attachments: Record<string, Record<string, unknown>>
  [field: string]: unknown
}

/** The body of `npm publish` for one version. */
export async function buildPublication(input: PublicationInput): Promise<Publication> {
  const { name, version, tags = ['latest'] } = input
  const packageJson = { name, version, ...input.manifest }
  const tarball = input.tarball ?? (await buildNpmTarball(packageJson, input))
  return {
    _id: name,
    name,
    'dist-tags': Object.fromEntries(tags.map((tag) => [tag, version])),
    versions: {
      [version]: {
        ...packageJson,
        readme: `# ${name}\n`,
        readmeFilename: 'README.md',
        _id: `${name}@${version}`,
        _nodeVersion: '20.20.2',
        _npmVersion: '11.19.1',
        dist: {
          integrity: tarball.integrity,
          shasum: tarball.shasum,
          tarball: `http://elsewhere.example/${name}/-/${name}-${version}.tgz`,
        },
      },
    },
    access: null,
    _attachments: {
      [`${name}-${version}.tgz`]: {
        content_type: 'application/octet-stream',
        data: tarball.bytes.toString('base64'),
        length: tarball.bytes.length,
      },
    },
  }
}
