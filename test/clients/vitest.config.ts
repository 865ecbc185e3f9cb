import { defineConfig } from 'vitest/config'

const report = process.env['TEST_REPORT']

/** Real clients against a server process: one at a time, each slow. */
export default defineConfig({
  root: new URL('../..', import.meta.url).pathname,
  test: {
    include: ['test/clients/**/*.test.ts'],
    globalSetup: ['test/clients/global-setup.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
    // Where TEST_REPORT names a file, the results go there too, as JSON; CI adds them up.
    reporters: report ? ['default', ['json', { outputFile: report }]] : ['default'],
    pool: 'forks',
    maxWorkers: 1,
    fileParallelism: false,
    sequence: { concurrent: false },
  },
})
