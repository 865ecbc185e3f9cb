import { describePackageVisibility } from '../contracts/package-visibility.ts'

const file = (owner: string, name: string) => `/api/packages/${owner}/generic/${name}/1.0.0/file.bin`

// REST shows packages of all types alike. Nobody anonymous gets in.
describePackageVisibility({
  type: 'generic',
  packageName: (name) => name,
  needsSignIn: true,
  publish: (app, owner, name, authorization) =>
    app.inject({ method: 'PUT', url: file(owner, name), headers: { authorization }, payload: name }),
  reads: (owner, name) =>
    ['', '/1.0.0', '/1.0.0/files', '/-/latest'].flatMap((rest) =>
      (['GET', 'HEAD'] as const).map((method) => ({ method, url: `/api/v1/packages/${owner}/generic/${name}${rest}` })),
    ),
  lists: (owner) =>
    ['', '?type=generic', '?q=N', '?limit=50&page=1'].map((query) => ({
      request: { url: `/api/v1/packages/${owner}${query}` },
      named: (name) => `"name":"${name}"`,
    })),
})
