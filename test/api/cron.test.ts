import { afterEach, describe, expect, test, vi } from 'vitest'
import { Schedule } from '../../src/schedule/index.ts'
import { publish } from '../support/builders/published-package.ts'
import { TestApp } from '../support/test-app.ts'

const DAY = 86_400_000

interface Task {
  name: string
  schedule: string
  next: string
  prev: string
  exec_times: number
}

describe('tasks over REST', () => {
  const apps: TestApp[] = []
  const start = async (options = {}) => {
    const app = await TestApp.start(options)
    apps.push(app)
    return app
  }
  afterEach(async () => {
    for (const app of apps.splice(0).reverse()) await app.close()
  })

  async function taskOf(app: TestApp, name: string): Promise<Task> {
    const tasks = (await app.api('GET', '/admin/cron')).json() as Task[]
    return tasks.find((task) => task.name === name)!
  }

  async function run(app: TestApp, name: string): Promise<void> {
    expect((await app.api('POST', `/admin/cron/${name}`)).statusCode).toBe(204)
    await app.services.schedule.settle()
  }

  test('are listed with when they run, page by page', async () => {
    const app = await start()
    const response = await app.api('GET', '/admin/cron?limit=3')
    expect(response.statusCode).toBe(200)
    expect(response.headers['x-total-count']).toBe('5')
    const tasks = response.json() as Task[]
    expect(tasks.map(({ name }) => name)).toEqual([
      'cleanup_access_tokens',
      'cleanup_audit_log',
      'cleanup_hook_task_table',
    ])
    const { next, ...task } = await taskOf(app, 'cleanup_packages')
    expect(task).toEqual({
      name: 'cleanup_packages',
      schedule: '@midnight',
      prev: '0001-01-01T00:00:00Z',
      exec_times: 0,
    })
    expect(Date.parse(next) % DAY).toBe(0)
    expect(Date.parse(next)).toBeGreaterThan(app.clock.now())
  })

  test('a run does what midnight does, counts, and is in the audit log', async () => {
    const app = await start()
    await publish(app, { owner: 'root', name: 'old', creator: 'root' })
    await app.api('POST', '/users/root/cleanup-rules', {
      type: 'generic',
      enabled: true,
      remove_days: 1,
      remove_pattern: '.*',
    })
    app.clock.advance(3 * DAY)
    await run(app, 'cleanup_packages')
    expect((await app.api('GET', '/packages/root')).json()).toEqual([])
    const task = await taskOf(app, 'cleanup_packages')
    expect(task.exec_times).toBe(1)
    expect(app.clock.now() - Date.parse(task.prev)).toBeLessThan(60_000)
    const events = (await app.api('GET', '/admin/audit?action=task.started')).json() as { details: object }[]
    expect(events).toHaveLength(1)
  })

  test('that do not exist are not found', async () => {
    const app = await start()
    expect((await app.api('POST', '/admin/cron/no_such_task')).statusCode).toBe(404)
  })

  test('run on one server at a time, and at midnight on one of them only', async () => {
    const one = await start()
    const two = await start({ dataDir: one.dataDir, databaseUrl: one.services.config.database.url })
    let running = 0
    let most = 0
    let runs = 0
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const work = async () => {
      running += 1
      most = Math.max(most, running)
      runs += 1
      await gate
      running -= 1
      return {}
    }
    for (const { services } of [one, two]) services.schedule.add({ name: 'slow', steps: { 'slow work done': work } })
    await one.api('POST', '/admin/cron/slow')
    await vi.waitFor(() => expect(running).toBe(1))
    expect((await one.api('POST', '/admin/cron/slow')).statusCode).toBe(204)
    expect((await two.api('POST', '/admin/cron/slow')).statusCode).toBe(204)
    await two.services.schedule.settle()
    release()
    await one.services.schedule.settle()
    expect([most, runs]).toEqual([1, 1])
    const midnight = one.clock.now() + 1
    one.clock.advance(10)
    two.clock.advance(10)
    await Promise.all([one.services.schedule.runDue(midnight), two.services.schedule.runDue(midnight)])
    expect([most, runs]).toEqual([1, 2])
    expect((await taskOf(two, 'slow')).exec_times).toBe(2)
  })

  test('one that fails is logged, the next one runs, and it can run again', async () => {
    const app = await start()
    const done: string[] = []
    app.services.schedule.add({
      name: 'broken',
      steps: {
        first: () => Promise.reject(new Error('out of luck')),
        second: async () => ({ done: done.push('second') }),
      },
    })
    await run(app, 'broken')
    await run(app, 'broken')
    expect(done).toHaveLength(2)
  })

  test('nothing begins any more when the server stops', async () => {
    const app = await start()
    const schedule = new Schedule(app.services)
    const begun: string[] = []
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    const work = (name: string) => async () => {
      begun.push(name)
      await gate
      return {}
    }
    schedule.add(
      { name: 'first', steps: { one: work('one'), two: work('two') } },
      { name: 'second', steps: { three: work('three') } },
    )
    const night = schedule.runDue(Number.POSITIVE_INFINITY)
    await vi.waitFor(() => expect(begun).toEqual(['one']), 20_000)
    await schedule.close()
    release()
    await night
    schedule.run('second')
    await schedule.settle()
    expect(begun).toEqual(['one'])
  })
})
