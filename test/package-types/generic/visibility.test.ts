import { describePackageVisibility } from '../../contracts/package-visibility.ts'

describePackageVisibility({
  type: 'generic',
  packageName: (name) => name,
  publish: (app, owner, name, authorization) =>
    app.inject({
      method: 'PUT',
      url: `/api/packages/${owner}/generic/${name}/1.0.0/file.bin`,
      headers: { authorization },
      payload: name,
    }),
  reads: (owner, name) =>
    (['GET', 'HEAD'] as const).flatMap((method) =>
      [name, name.toUpperCase()].map((spelt) => ({
        method,
        url: `/api/packages/${owner}/generic/${spelt}/1.0.0/file.bin`,
      })),
    ),
  lists: () => [],
})
