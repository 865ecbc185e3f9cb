/** An image, or any other artifact. */
export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
/** Also the type of referrers lists. */
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'

/** An image has a config and layers, also where it is no image but another artifact; an index has manifests. */
export type ManifestKind = 'image' | 'index'

const KINDS: ReadonlyMap<string, ManifestKind> = new Map([
  [OCI_INDEX, 'index'],
  [DOCKER_LIST, 'index'],
  [OCI_MANIFEST, 'image'],
  [DOCKER_MANIFEST, 'image'],
])

const IMAGE_CONFIGS: ReadonlySet<string> = new Set([
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
])
const HELM_CONFIG = 'application/vnd.cncf.helm.config.v1+json'
const NON_DISTRIBUTABLE =
  /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.v1\.tar(?:\+(?:gzip|zstd))?|docker\.image\.rootfs\.foreign\.diff\.tar(?:\.gzip)?)$/

/** The `Accept` with which manifests are asked for: all types that are served, indexes first (container.md §13). */
export const acceptedManifests = [...KINDS.keys()].join(', ')

/** Null for what is no manifest that we take: schema 1, the withdrawn artifact manifest, anything unknown. */
export function kindOfManifest(mediaType: string): ManifestKind | null {
  return KINDS.get(mediaType) ?? null
}

/** Whether manifests of this type are taken and served (container.md §1). */
export function isManifestType(mediaType: string): boolean {
  return KINDS.has(mediaType)
}

/** What the config of an image of this type tells; null for configs that must not be parsed (OCI image-spec). */
export function kindOfConfig(mediaType: string): 'oci' | 'helm' | null {
  if (IMAGE_CONFIGS.has(mediaType)) return 'oci'
  return mediaType === HELM_CONFIG ? 'helm' : null
}

/** Whether layers of this type usually stay where their `urls` say, and are not uploaded. */
export function isNonDistributable(mediaType: string): boolean {
  return NON_DISTRIBUTABLE.test(mediaType)
}

/** The type that a manifest's bytes claim in their field `mediaType`, which may be absent; null without one. */
export function mediaTypeOf(manifest: Buffer): string | null {
  try {
    const { mediaType } = JSON.parse(manifest.toString('utf8')) as { mediaType?: unknown }
    return typeof mediaType === 'string' ? mediaType : null
  } catch {
    return null
  }
}
