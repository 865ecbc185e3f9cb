import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '../clock.ts'
import type { Database } from '../db/connect.ts'
import { runAlone } from '../db/lock.ts'
import { NotFound } from '../errors.ts'
import type { Log } from '../log.ts'
import type { Models } from '../models/index.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
/** ms between the start of the server and its first look at the jobs: up to so many more, drawn anew each time. */
const AFTER_START = { least: MINUTE, spread: 4 * MINUTE }
/** ms that running jobs have when the server stops. */
const GRACE = 5_000

/** Something that the server does every midnight (UTC), or more often, in one or several steps. */
export interface Job {
  /** As the REST API calls it: `cleanup_packages`. */
  readonly name: string
  /** ms from one run to the next; absent: midnight. */
  readonly every?: number
  /** By what the log says when it is done. One that fails is logged, and the next one runs. */
  readonly steps: Readonly<Record<string, () => Promise<object>>>
}

/** What is known of a job; ms since the epoch. */
export interface JobState {
  readonly name: string
  /** How often it runs: `@midnight`, `@every 10m`. */
  readonly rhythm: string
  readonly next: number
  /** 0: it has never run. */
  readonly previous: number
  /** How often it has run, on any server. */
  readonly runs: number
}

/**
 * Runs jobs every midnight, or as often as they say, soon after the start, and when somebody asks for it. Of servers on
 * one database one runs a job at a time, and one of them at midnight; a server that starts leaves what has been run
 * within the hour.
 */
export class Schedule {
  readonly #parts: { db: Database; models: Models; clock: Clock; log: Log }
  readonly #jobs = new Map<string, Job>()
  readonly #running = new Set<Promise<void>>()
  #afterStart: NodeJS.Timeout | undefined
  #midnight: NodeJS.Timeout | undefined
  readonly #often: NodeJS.Timeout[] = []
  #isClosed = false

  constructor(parts: { db: Database; models: Models; clock: Clock; log: Log }) {
    this.#parts = parts
  }

  /** In the order in which they run. */
  add(...jobs: readonly Job[]): void {
    for (const job of jobs) this.#jobs.set(job.name, job)
  }

  /** From now on they run by themselves. */
  start(): void {
    const delay = AFTER_START.least + Math.random() * AFTER_START.spread
    this.#afterStart = setTimeout(() => this.#begin(this.runDue(this.#parts.clock.now() - HOUR)), delay).unref()
    this.#awaitMidnight()
    for (const job of this.#jobs.values()) {
      const { every } = job
      if (every === undefined) continue
      // Timers of two servers come whenever they come: half the time is long enough.
      const run = () => this.#begin(this.#runAlone(job, this.#parts.clock.now() - every / 2))
      this.#often.push(setInterval(run, every).unref())
    }
  }

  /** By name. */
  async list(): Promise<JobState[]> {
    const rows = await this.#parts.models.jobRun.findAll()
    const jobs = [...this.#jobs.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    return jobs.map(({ name, every }) => {
      const row = rows.find((candidate) => candidate.name === name)
      const previous = Number(row?.startedAt ?? 0)
      const runs = Number(row?.runs ?? 0)
      if (every === undefined) return { name, rhythm: '@midnight', next: this.#nextMidnight(), previous, runs }
      const next = Math.max(previous + every, this.#parts.clock.now())
      return { name, rhythm: `@every ${every / MINUTE}m`, next, previous, runs }
    })
  }

  /** Begins a job and does not wait for it; one that runs already is left to run. Throws NotFound. */
  run(name: string): void {
    const job = this.#jobs.get(name)
    if (job === undefined) throw new NotFound('task', name)
    this.#begin(this.#runAlone(job, Number.POSITIVE_INFINITY))
  }

  /** Runs, one after the other, the jobs that have not begun since then; ms since the epoch. Never throws. */
  async runDue(since: number): Promise<void> {
    for (const job of this.#jobs.values()) await this.#runAlone(job, since)
  }

  /** Resolves when nothing runs any more. */
  async settle(): Promise<void> {
    await Promise.all(this.#running)
  }

  /** No job begins any more, nor a step of one; what runs has five seconds. */
  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#afterStart)
    clearTimeout(this.#midnight)
    for (const timer of this.#often) clearInterval(timer)
    const patience = new AbortController()
    const late = sleep(GRACE, undefined, { signal: patience.signal, ref: false }).catch(() => {})
    await Promise.race([late, this.settle()])
    patience.abort()
  }

  #awaitMidnight(): void {
    const midnight = this.#nextMidnight()
    // Timers may be a little early, and the same night must not come twice.
    const delay = midnight - this.#parts.clock.now() + SECOND
    this.#midnight = setTimeout(() => {
      this.#awaitMidnight()
      this.#begin(this.runDue(midnight))
    }, delay).unref()
  }

  #begin(work: Promise<void>): void {
    const running = work.finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  async #runAlone(job: Job, since: number): Promise<void> {
    if (this.#isClosed) return
    const { db, log } = this.#parts
    try {
      const done = await runAlone(db, `job.${job.name}`, 0, async () => {
        if (await this.#note(job.name, since)) await this.#runSteps(job)
      })
      if (done === null) log.info({ job: job.name }, 'the job runs already')
    } catch (err) {
      log.error({ err, job: job.name }, 'the job could not be run')
    }
  }

  /** Writes that it begins; false: it has since then. Only who has the job's lock asks. */
  async #note(name: string, since: number): Promise<boolean> {
    const { db, models, clock } = this.#parts
    return db.inTransaction(async (transaction) => {
      const row = await models.jobRun.findByPk(name, { transaction })
      if (row !== null && row.startedAt >= since) return false
      const values = { name, startedAt: clock.now(), runs: Number(row?.runs ?? 0) + 1 }
      if (row === null) await models.jobRun.create(values, { transaction })
      else await row.update(values, { transaction })
      return true
    })
  }

  async #runSteps({ name: job, steps }: Job): Promise<void> {
    const { log } = this.#parts
    for (const [step, work] of Object.entries(steps)) {
      if (this.#isClosed) return
      try {
        log.info({ job, ...(await work()) }, step)
      } catch (err) {
        log.error({ err, job }, `not done: ${step}`)
      }
    }
  }

  #nextMidnight(): number {
    const now = this.#parts.clock.now()
    return now - (now % DAY) + DAY
  }
}
