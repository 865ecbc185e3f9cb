import { randomUUID } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { type Descriptor, describeBytes, digestOf, mediaType } from './content.ts'

export const layer: Buffer = gzipSync('one layer for all')
const layerDescriptor = describeBytes(layer, mediaType.gzipLayer)

/** An image with one config of its own and the layer that all share. */
export interface Image {
  readonly config: Buffer
  readonly manifest: Buffer
  readonly digest: string
}

/** Indented as the suite does it, with data and an unknown field in the config's descriptor. */
export function makeImage(
  layers: Descriptor[] = [layerDescriptor],
  config: Buffer = Buffer.from(`{"author":"${randomUUID()}"}`),
): Image {
  const descriptor = { ...describeBytes(config, mediaType.config), data: config.toString('base64') }
  const document = {
    schemaVersion: 2,
    mediaType: mediaType.image,
    config: { ...descriptor, newUnspecifiedField: Buffer.from('hello world').toString('base64') },
    layers,
  }
  const manifest = Buffer.from(JSON.stringify(document, null, '\t'))
  return { config, manifest, digest: digestOf(manifest) }
}
