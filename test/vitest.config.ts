import { defineConfig } from 'vitest/config'

const report = process.env['TEST_REPORT']

/** Everything that needs nothing but Node: units, and the HTTP suite on SQLite (or what TEST_DATABASE_URL names). */
export default defineConfig({
  root: new URL('..', import.meta.url).pathname,
  test: {
    globalSetup: 'test/support/template-databases.ts',
    include: ['test/**/*.test.ts'],
    exclude: ['test/clients/**', 'test/soak/**', '**/node_modules/**'],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Where TEST_REPORT names a file, the results go there too, as JSON; CI adds them up.
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
    pool: 'forks',
    maxWorkers: 2,
  },
})
