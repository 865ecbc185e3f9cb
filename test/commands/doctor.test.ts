import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { FakeUpstream } from '../support/fake-upstream.ts'
import { TestApp } from '../support/test-app.ts'
import { testDialects } from '../support/test-database.ts'
import { beside, runCommand } from './run-command.ts'

describe('doctor before and without a server', () => {
  let directory: string
  let environment: NodeJS.ProcessEnv
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'entrepot-doctor-'))
    environment = { ENTREPOT_DATA_DIR: join(directory, 'data'), ENTREPOT_UPSTREAMS_DIR: join(directory, 'upstreams') }
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))
  const doctor = (more: NodeJS.ProcessEnv = {}) => runCommand(['doctor'], { ...environment, ...more })

  test('of nothing at all it makes nothing, and says what the first start will', async () => {
    const { code, stdout, stderr } = await doctor()
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout).toMatch(/^ok {4}configuration /m)
    expect(stdout).toMatch(/^warn {2}data directory .* does not exist yet\n +→ the first start makes it/m)
    expect(stdout).toMatch(/^warn {2}database .* does not exist yet\n +→ .*entrepot migrate/m)
    expect(stdout).toContain('\n0 failures, 2 warnings\n')
    expect(await readdir(directory)).toEqual([])
  })

  test('a broken configuration is the only thing that can be said', async () => {
    const file = join(directory, 'entrepot.yaml')
    await writeFile(file, 'port: [8080\nhost: "')
    const { code, stdout } = await doctor({ ENTREPOT_CONFIG: file })
    expect(code).toBe(1)
    expect(stdout).toMatch(
      /^fail {2}configuration {2}ENTREPOT_CONFIG: cannot read .*entrepot\.yaml: .*\n +→ config\/default/,
    )
    expect(stdout).toContain('\n1 failure, 0 warnings\n')
    expect(stdout).not.toContain('    at ')
    await writeFile(file, 'packages: { limits: { cobol: 1GiB } }')
    expect((await doctor({ ENTREPOT_CONFIG: file })).stdout).toContain('packages.limits.cobol')
  })

  test('a broken upstream file fails, and the rest is looked at all the same', async () => {
    await mkdir(join(directory, 'upstreams'))
    await writeFile(join(directory, 'upstreams', 'bad.yaml'), 'type: cobol\nowner: cobol\n')
    const { code, stdout } = await doctor()
    expect(code).toBe(1)
    expect(stdout).toMatch(/^fail {2}upstreams .*bad\.yaml: type: cobol cannot be mirrored/m)
    expect(stdout).toMatch(/^warn {2}database/m)
  })

  test.each([
    ['mysql://root@127.0.0.1:1/gone', 'ECONNREFUSED'],
    ['sqlite:DIRECTORY/no.db', 'not a database'],
    ['sqlite::memory:', 'not supported'],
    ['sqlite:DIRECTORY', 'SQLITE_CANTOPEN'],
  ])('the database %s fails with advice', async (url, reason) => {
    await writeFile(join(directory, 'no.db'), 'this is not a database, and long enough to look at'.repeat(100))
    const { code, stdout } = await doctor({ ENTREPOT_DATABASE_URL: url.replace('DIRECTORY', directory) })
    expect(code).toBe(1)
    expect(stdout).toMatch(/^fail {2}database .*\n +→ \w/m)
    expect(stdout).toContain(reason)
    expect(stdout).not.toContain('    at ')
  })

  test('a data directory that is a file, or below one, fails', async () => {
    await writeFile(join(directory, 'file'), '')
    const file = join(directory, 'file')
    const data = { ENTREPOT_DATABASE_URL: `sqlite:${directory}/none.db` }
    expect((await doctor({ ...data, ENTREPOT_DATA_DIR: file })).stdout).toMatch(
      /^fail {2}data directory .*not a folder/m,
    )
    const below = await doctor({ ...data, ENTREPOT_DATA_DIR: join(file, 'data') })
    expect([below.code, below.stdout]).toEqual([1, expect.stringMatching(/^fail {2}data directory ENOTDIR/m)])
  })

  test('Redis that is away fails', async () => {
    const { code, stdout } = await doctor({ ENTREPOT_REDIS_URL: 'redis://127.0.0.1:1' })
    expect([code, stdout]).toEqual([1, expect.stringMatching(/^fail {2}redis .*does not answer.*\n +→ start it/m)])
  })

  test.each([
    [{ ENTREPOT_HOST: '0.0.0.0' }, 'warn', 'clients on other hosts'],
    [{ ENTREPOT_HOST: '::', ENTREPOT_BASE_URL: 'http://localhost:9000/' }, 'warn', 'clients on other hosts'],
    [{ ENTREPOT_BASE_URL: 'http://packages.example.org' }, 'warn', 'TLS'],
    [{ ENTREPOT_BASE_URL: 'https://example.org/packages' }, 'warn', '/v2/'],
    [{ ENTREPOT_HOST: '0.0.0.0', ENTREPOT_BASE_URL: 'https://packages.example.org' }, 'ok', 'packages.example.org'],
    [{}, 'ok', 'http://127.0.0.1:8080'],
  ])('the base URL of %j: %s', async (more, level, text) => {
    const { code, stdout } = await doctor(more)
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`^${level} +base URL .*(\\n +→ .*)?${text.replaceAll('.', '\\.')}`, 'm'))
  })
})

describe('doctor beside a server', () => {
  let app: TestApp
  let upstream: FakeUpstream
  beforeAll(async () => {
    upstream = await FakeUpstream.start()
    const { url } = upstream
    const file = (path: string, more = {}) => ({
      type: 'npm',
      url: `${url}/${path}/`,
      allowPrivateNetwork: true,
      ...more,
    })
    app = await TestApp.start({
      upstreams: {
        good: file('good', { owner: 'good' }),
        moved: file('moved', { owner: 'moved' }),
        broken: file('broken', { owner: 'broken' }),
        cut: file('cut', { owner: 'cut' }),
        secret: file('secret', { owner: 'secret' }),
        inside: file('inside', { owner: 'inside', allowPrivateNetwork: false }),
        off: file('off', { owner: 'off' }),
        nowhere: { type: 'npm', owner: 'nowhere', url: 'http://nowhere.invalid/' },
      },
    })
    await app.services.upstream.setMode('off', 'offline')
    upstream.on('/good/', { status: 200, body: '{}' })
    upstream.on('/moved/', { status: 302, headers: { location: 'http://169.254.169.254/' } })
    upstream.on('/broken/', { status: 503 })
    upstream.on('/cut/', { refuse: true })
    upstream.on('/secret/', { status: 401, body: '{}' })
  })
  afterAll(async () => {
    await app.close()
    await upstream.close()
  })
  const doctor = () => runCommand(['doctor'], beside(app))

  test('upstreams are asked once, as the server would; one that is away is a warning', async () => {
    upstream.forget()
    const { code, stdout } = await doctor()
    expect(code).toBe(0)
    expect(stdout).toMatch(/^ok {4}upstream {7}good: http:\S+\/good\/ answers 200 after \d+ ms$/m)
    expect(stdout).toMatch(/^ok {4}upstream {7}moved: \S+ answers 302 /m)
    expect(stdout).toMatch(/^ok {4}upstream {7}secret: \S+ answers 401 /m)
    expect(stdout).toMatch(/^ok {4}upstream {7}off: offline, not asked$/m)
    expect(stdout).toMatch(/^warn {2}upstream {7}broken: .*answered 503\n +→ .*ENTREPOT_UPSTREAM_BROKEN_URL/m)
    expect(stdout).toMatch(/^warn {2}upstream {7}cut: .*cannot be reached/m)
    expect(stdout).toMatch(/^warn {2}upstream {7}inside: .*private network.*\n +→ .*ALLOW_PRIVATE_NETWORK=true/m)
    expect(stdout).toMatch(/^warn {2}upstream {7}nowhere: .*\n +→ .*name service/m)
    const asked = upstream.requests.map(({ method, path }) => `${method} ${path}`).sort()
    expect(asked).toEqual(['/broken/', '/cut/', '/good/', '/moved/', '/secret/'].map((path) => `GET ${path}`))
    expect(stdout).toMatch(/^ok {4}clock {10}agrees/m)
  })

  test.each([
    [-90, 'ahead of'],
    [3_600, 'behind'],
  ])('a clock %i s off is a warning, unless an upstream agrees', async (seconds, word) => {
    const wrong = (status: number) => {
      const date = new Date(Date.now() + seconds * 1_000).toUTCString()
      return { status, headers: { date }, body: '{}' }
    }
    for (const path of ['/good/', '/moved/', '/secret/']) upstream.on(path, wrong(404))
    const { code, stdout } = await doctor()
    expect(code).toBe(0)
    expect(stdout).toMatch(new RegExp(`^warn  clock +this host is \\d+ s ${word} the upstreams\\n +→ synchronize`, 'm'))
    upstream.on('/good/', { status: 200, body: '{}' })
    expect((await doctor()).stdout).toMatch(/^ok {4}clock/m)
    // A cache in between may answer with an old date, and says how old it is.
    const aged = wrong(200)
    upstream.on('/good/', { ...aged, headers: { ...aged.headers, age: String(Math.max(0, -seconds)) } })
    if (seconds < 0) expect((await doctor()).stdout).toMatch(/^ok {4}clock/m)
  })

  test('says which migrations wait, and does not run them', async () => {
    const { sequelize } = app.services.db
    await sequelize.query("DELETE FROM migration WHERE name = '0002-containers'")
    await sequelize.query("INSERT INTO migration (name) VALUES ('9999-from-the-future')")
    const { stdout } = await doctor()
    expect(stdout).toMatch(/^warn {2}database .*waiting: 0002-containers\n +→ .*entrepot migrate/m)
    expect(stdout).toMatch(/^warn {2}database .*later release .*9999-from-the-future/m)
    expect(stdout).not.toMatch(/^\w+ +blobs/m)
    expect((await doctor()).stdout).toEqual(expect.stringContaining('0002-containers'))
    await sequelize.query("INSERT INTO migration (name) VALUES ('0002-containers')")
    await sequelize.query("DELETE FROM migration WHERE name LIKE '9999%'")
    expect((await doctor()).stdout).toMatch(/^ok {4}database .*up to date$/m)
  })

  test('says that nobody is an administrator', async () => {
    await app.services.models.user.update({ isAdmin: false }, { where: { lowerName: 'root' } })
    expect((await doctor()).stdout).toMatch(/^warn {2}accounts .*\n +→ entrepot user create/m)
    await app.services.models.user.update({ isAdmin: true }, { where: { lowerName: 'root' } })
    expect((await doctor()).stdout).not.toMatch(/accounts/)
  })

  test('a blob store that is no folder fails, without a stack', async () => {
    const packages = join(app.dataDir, 'packages')
    await rm(packages, { recursive: true, force: true })
    await writeFile(packages, '')
    const { code, stdout } = await doctor()
    expect(code).toBe(1)
    expect(stdout).toMatch(/^fail {2}blob store .*cannot be written: ENOTDIR.*\n +→ /m)
    expect(stdout).not.toContain('    at ')
    await rm(packages)
  })

  test.runIf(testDialects.includes('mysql'))('compares the clock of the database', async () => {
    const { db } = app.services
    const now = await db.now()
    expect(db.dialect).toBe('mysql')
    expect(Math.abs(Date.now() - now!)).toBeLessThan(5_000)
  })
})
