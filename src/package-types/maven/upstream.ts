import type { DocumentRequest, UpstreamAdapter } from '../../upstream/adapter.ts'

/** How repositories are asked (maven.md §6). */
export const upstream: UpstreamAdapter = { nameDocument: metadataRequest }

/** `maven-metadata.xml` of `group:artifact`. */
export function metadataRequest(name: string): DocumentRequest<Buffer> {
  const [group = '', artifact = ''] = name.split(':')
  const path = `${group.replaceAll('.', '/')}/${artifact}/maven-metadata.xml`
  return { kind: 'metadata', key: name, path, accept: '*/*', parse: (body) => body }
}
