import type { LightMyRequestResponse } from 'fastify'
import { describePackageVisibility } from '../../contracts/package-visibility.ts'
import type { TestApp } from '../../support/test-app.ts'
import { pom, Repository } from './repository.ts'

/** A release and a snapshot of a plugin, which the metadata of its group names. */
async function publish(
  app: TestApp,
  owner: string,
  name: string,
  authorization: string,
): Promise<LightMyRequestResponse> {
  const repository = new Repository(app, owner, authorization)
  const plugin = '\n  <packaging>maven-plugin</packaging>'
  const files: [path: string, body: string][] = [
    [`2.0-SNAPSHOT/${name}-2.0-20260101.010101-1.pom`, pom('com.acme', name, '2.0-SNAPSHOT', plugin)],
    [`1.0.0/${name}-1.0.0.pom`, pom('com.acme', name, '1.0.0', plugin)],
    [`1.0.0/${name}-1.0.0.jar`, `the jar of ${name}`],
  ]
  for (const [path, body] of files.slice(0, -1)) {
    const answer = await repository.put(`com/acme/${name}/${path}`, body)
    if (answer.statusCode !== 201) return answer
  }
  const [path, body] = files.at(-1)!
  return repository.put(`com/acme/${name}/${path}`, body)
}

describePackageVisibility({
  type: 'maven',
  packageName: (name) => `com.acme:${name}`,
  publish,
  reads: (owner, name) => {
    const paths = [
      ...[`1.0.0/${name}-1.0.0.pom`, `1.0.0/${name}-1.0.0.jar`, `2.0-SNAPSHOT/${name}-2.0-20260101.010101-1.pom`],
      ...['maven-metadata.xml', '2.0-SNAPSHOT/maven-metadata.xml'],
    ].flatMap((path) => [path, `${path}.sha1`, `${path}.sha512`])
    return (['GET', 'HEAD'] as const).flatMap((method) =>
      paths.map((path) => ({ method, url: `/api/packages/${owner}/maven/com/acme/${name}/${path}` })),
    )
  },
  lists: (owner) => [
    {
      request: { url: `/api/packages/${owner}/maven/com/acme/maven-metadata.xml` },
      named: (name) => `<artifactId>${name}</artifactId>`,
      // The list of a group is not for tokens that are restricted to single packages.
      isFor: (who) => who !== 'pkg',
    },
  ],
})
