// Who may import whom: architecture.md's layers, checked by `npm run deps`. Imports point right only:
const layers = [
  ['main.ts', 'commands/', 'jobs.ts'],
  ['app.ts'],
  ['api/', 'package-types/'],
  ['http/'],
  ['services.ts'],
  ['webhooks/', 'audit/'],
  ['json/'],
  ['upstream/'],
  ['packages/'],
  ['auth/', 'db/', 'models/', 'storage/', 'cache/', 'outbound/'],
  ['config/', 'errors.ts', 'clock.ts', 'log.ts', 'metrics.ts'],
]

/** A pattern for the paths below src/ that any of these names begins. */
function below(names) {
  return `^src/(${names.map((name) => name.replaceAll('.', '\\.') + (name.endsWith('/') ? '' : '$')).join('|')})`
}

const leftward = layers.slice(1).map((layer, index) => ({
  name: `layer-${layer[0].replace(/\/|\.ts/, '')}`,
  comment:
    'Imports point right only: main → app → api, package-types → http → services → webhooks → json → upstream → packages → … → config',
  severity: 'error',
  from: { path: below(layer) },
  to: { path: below(layers.slice(0, index + 1).flat()) },
}))

/** Only files matching `from` may import the npm packages matching `package`. */
function only(name, package_, from, comment) {
  return {
    name,
    comment,
    severity: 'error',
    from: { path: '^src/', pathNot: from },
    to: { path: `node_modules/${package_}/` },
  }
}

module.exports = {
  forbidden: [
    ...leftward,
    {
      name: 'every-file-has-a-layer',
      comment: 'A new folder or file directly below src/ needs a place in the list of layers above.',
      severity: 'error',
      from: { path: '^src/', pathNot: below(layers.flat()) },
      to: {},
    },
    {
      name: 'slices-are-strangers',
      comment: 'A package type imports no other package type.',
      severity: 'error',
      from: { path: '^src/package-types/([^/]+)/' },
      to: { path: '^src/package-types/([^/]+)/', pathNot: '^src/package-types/$1/' },
    },
    {
      name: 'the-list-of-types',
      comment: 'Only app.ts, jobs.ts and commands/ know which package types there are.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/(app\\.ts|jobs\\.ts|commands/)' },
      to: { path: '^src/package-types/index\\.ts$' },
    },
    {
      name: 'services-is-a-type',
      comment: 'Only commands/ build the services; everyone else gets them.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/commands/' },
      to: { path: '^src/services\\.ts$', dependencyTypesNot: ['type-only'] },
    },
    only(
      'fastify-at-the-edge',
      '(fastify|fastify-plugin|@fastify/[^/]+)',
      '^src/(app\\.ts|http/|api/|package-types/[^/]+\\.ts$|package-types/container/(address|call|challenge)\\.ts$|.*routes\\.ts$)',
      'Elsewhere schemas come from typebox, and functions take plain arguments.',
    ),
    only(
      'sequelize-in-the-data-layer',
      'sequelize',
      '^src/(db/|models/|packages/|auth/|upstream/|webhooks/|audit/|package-types/[^/]+/[^/]*queries\\.ts$)',
      'A slice that needs SQL of its own has a queries.ts.',
    ),
    only(
      'undici-in-the-clients',
      'undici',
      '^src/(upstream/client|webhooks/post)\\.ts$',
      'Two files talk to the outside, both through the address guard.',
    ),
    only('jose-in-registry-jwt', 'jose', '^src/auth/registry-jwt\\.ts$', 'One file makes and checks JWTs.'),
    {
      name: 'no-cycles',
      comment: 'Models may know each other as types; nothing else goes in circles.',
      severity: 'error',
      from: { pathNot: '^src/models/' },
      to: { circular: true },
    },
    {
      name: 'no-cycles-of-values-between-models',
      severity: 'error',
      from: { path: '^src/models/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-orphans',
      comment: 'Nothing imports it. main.ts is the start; a worker is loaded by its URL.',
      severity: 'error',
      from: { orphan: true, pathNot: '^src/main\\.ts$|-worker\\.js$|\\.d\\.ts$' },
      to: {},
    },
    {
      name: 'resolvable',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true },
    },
    {
      name: 'no-development-dependencies',
      comment: 'They are not installed where the server runs.',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
    {
      name: 'no-undeclared-dependencies',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default', 'types'],
      extensions: ['.ts', '.js', '.json'],
    },
  },
}
