import { describePackageVisibility } from '../../contracts/package-visibility.ts'
import { Registry } from './registry.ts'

const abbreviated = { accept: 'application/vnd.npm.install-v1+json' }

describePackageVisibility({
  type: 'npm',
  packageName: (name) => `@acme/${name}`,
  publish: (app, owner, name, authorization) =>
    new Registry(app, owner, authorization).publish({ name: `@acme/${name}`, version: '1.0.0' }),
  reads: (owner, name) => {
    const root = `/api/packages/${owner}/npm`
    const urls = [
      ...[`/@acme/${name}`, `/@acme%2f${name}`, `/@ACME%2F${name.toUpperCase()}`, `/@acme%2f${name}?write=true`],
      ...[`/@acme/${name}/1.0.0`, `/@acme/${name}/latest`],
      ...[`/@acme/${name}/-/${name}-1.0.0.tgz`, `/@acme%2f${name}/-/@acme/${name}-1.0.0.tgz`],
      ...['dist-tags', 'visibility', 'collaborators'].map((what) => `/-/package/@acme%2f${name}/${what}`),
    ]
    return [
      ...(['GET', 'HEAD'] as const).flatMap((method) => urls.map((url) => ({ method, url: root + url }))),
      { url: `${root}/@acme%2f${name}`, headers: abbreviated },
    ].map((request) => ({ ...request, isList: /1\.0\.0$|latest$/.test(request.url) }))
  },
  lists: (owner) =>
    ['text=acme', 'text=', 'text=N&size=250'].map((query) => ({
      request: { url: `/api/packages/${owner}/npm/-/v1/search?${query}` },
      named: (name) => `"name":"@acme/${name}"`,
    })),
})
