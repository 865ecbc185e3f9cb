import { afterEach, expect, test } from 'vitest'
import { FakeContainerRegistry } from '../../support/fake-container-registry.ts'
import { TestApp, type TestAppOptions } from '../../support/test-app.ts'
import { Pusher } from './pusher.ts'

const closing: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function start(options: TestAppOptions = {}): Promise<TestApp> {
  const app = await TestApp.start(options)
  closing.push(() => app.close())
  return app
}

/** Statements that reading all of them once more takes, after everybody has read them twice. */
async function statementsOf(app: TestApp, paths: readonly string[]): Promise<number> {
  const { db } = app.services
  let before = 0
  for (let pass = 0; pass < 3; pass += 1) {
    await app.quiet()
    before = db.queries
    for (const url of paths) {
      for (const method of ['GET', 'HEAD'] as const) {
        expect((await app.inject({ method, url })).statusCode, `${method} ${url}`).toBe(200)
      }
    }
  }
  return db.queries - before
}

test('warm manifests and blobs of our own take no statement to the database', async () => {
  const app = await start()
  const pusher = new Pusher(app, 'alice/app', await app.createUser('alice'))
  const layer = { digest: await pusher.push('layer'), size: 5 }
  const digest = await pusher.pushImage('1.0', [layer])
  const paths = ['manifests/1.0', `manifests/${digest}`, `blobs/${layer.digest}`]
  expect(
    await statementsOf(
      app,
      paths.map((path) => `/v2/alice/app/${path}`),
    ),
  ).toBe(0)
})

test('nor do those that a mirror holds', async () => {
  const registry = await FakeContainerRegistry.start()
  closing.push(() => registry.close())
  const { manifest, layer } = registry.addImage('library/alpine', '3.20')
  const file = { type: 'container', owner: 'docker.io', url: registry.url, allowPrivateNetwork: true }
  const app = await start({ upstreams: { 'docker-hub': file } })
  const paths = ['manifests/3.20', `manifests/${manifest.digest}`, `blobs/${layer.digest}`]
  const urls = paths.map((path) => `/v2/docker.io/library/alpine/${path}`)
  expect(await statementsOf(app, urls)).toBe(0)
})
