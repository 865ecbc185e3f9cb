// Who may import whom: architecture.md's layers, checked by `npm run deps`. Imports point right only:
const layers = [
  ['main.ts', 'commands/', 'jobs.ts'],
  ['app.ts'],
  ['api/', 'package-types/', 'pages/'],
  ['http/'],
  ['services.ts'],
  ['webhooks/', 'audit/', 'trusted-publishing/', 'schedule/', 'sign-in/', 'eviction/'],
  ['json/'],
  ['upstream/', 'policies/'],
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
      '^src/(app\\.ts|http/|api/|pages/|package-types/[^/]+\\.ts$|package-types/container/(address|call|challenge)\\.ts$|.*routes\\.ts$)',
      'Elsewhere schemas come from typebox, and functions take plain arguments.',
    ),
    only(
      'sequelize-in-the-data-layer',
      'sequelize',
      '^src/(db/|models/|packages/|auth/|upstream/|policies/|eviction/|webhooks/|audit/|sign-in/|trusted-publishing/|package-types/[^/]+/[^/]*queries\\.ts$)',
      'A slice that needs SQL of its own has a queries.ts.',
    ),
    only(
      'openid-client-in-provider',
      'openid-client',
      '^src/sign-in/provider\\.ts$',
      'One file speaks OpenID Connect.',
    ),
    only(
      'undici-in-the-clients',
      'undici',
      '^src/(upstream/connections|webhooks/post|trusted-publishing/get-json|sign-in/limited-fetch)\\.ts$',
      'They talk to the outside: through the address guard, or to whom the configuration names.',
    ),
    {
      name: 'policies-beside-upstream',
      comment: 'Policies decide about what they are told; they know the patterns of names, and no engine.',
      severity: 'error',
      from: { path: '^src/policies/' },
      to: { path: '^src/upstream/', pathNot: '^src/upstream/(name-patterns|adapter)\\.ts$' },
    },
    only(
      'jose-where-jwts-are-read',
      'jose',
      '^src/(auth/registry-jwt|trusted-publishing/(id-tokens|issuer-keys))\\.ts$',
      'Our own JWTs are made and checked in one file, those of CI jobs checked in another.',
    ),
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
