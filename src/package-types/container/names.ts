/** `package.type` of everything here. */
export const CONTAINER = 'container'
/** The internal version that holds blobs no manifest names yet; no tag may be called so, because of the tilde. */
export const UPLOADS = '~uploads'
/** The lead file of a version. */
export const MANIFEST_FILE = 'manifest.json'

/** Properties of rows (container.md §14). */
export const property = {
  /** Of a package: `<owner>/<image>`. */
  repository: 'container.repository',
  /** Of a tag's version; no value. */
  tagged: 'container.manifest.tagged',
  /** Of an index's version, one for each child: its digest. */
  reference: 'container.manifest.reference',
  /** Of a version whose manifest has a subject: its digest. */
  subject: 'container.manifest.subject',
  /** Of a mirror's version, one for each config and layer its manifest names: its digest. */
  blob: 'container.manifest.blob',
  /** Of a file: its digest as manifests name it. */
  digest: 'container.digest',
  /** Of a file. */
  mediaType: 'container.mediatype',
} as const
