import { Worker } from 'node:worker_threads'
import type { Digests } from './digest.ts'

type SlowDigests = Omit<Digests, 'sha256'>
type Answer = { id: number; digests?: SlowDigests; error?: string }

// Two threads keep up with what one event loop can receive (performance.md §3.9).
const MAX_WORKERS = 2
const workers: DigestWorker[] = []
let nextId = 1

/** md5, sha1 and sha512 of one growing file, computed by a thread that re-reads it. */
export class DigestJob {
  readonly #id: number
  readonly #worker: DigestWorker
  readonly #result: Promise<SlowDigests>

  /** Starts at once; `path` must exist. */
  constructor(path: string) {
    this.#id = nextId++
    this.#worker = chooseWorker()
    this.#result = this.#worker.start(this.#id, path)
    this.#result.catch(() => {})
  }

  /** The first `available` bytes of the file are there. */
  advance(available: number): void {
    this.#worker.tell({ id: this.#id, available })
  }

  /** The file is complete with `size` bytes; the digests, once the thread has read it all. Rejects when it cannot. */
  end(size: number): Promise<SlowDigests> {
    this.#worker.tell({ id: this.#id, available: size, size })
    return this.#result
  }

  /** Nobody wants the digests any more; idempotent. */
  cancel(): void {
    this.#worker.cancel(this.#id)
  }
}

class DigestWorker {
  readonly #thread = new Worker(new URL('./digest-worker.js', import.meta.url), { name: 'digests', execArgv: [] })
  readonly #waiting = new Map<number, { resolve: (digests: SlowDigests) => void; reject: (error: Error) => void }>()

  constructor() {
    this.#thread.unref()
    this.#thread.on('message', (answer: Answer) => this.#answer(answer))
    this.#thread.on('error', (error: Error) => this.#die(error))
    this.#thread.on('exit', () => this.#die(new Error('the digest thread ended')))
  }

  get load(): number {
    return this.#waiting.size
  }

  start(id: number, path: string): Promise<SlowDigests> {
    // An idle thread must not keep the process alive, one that owes an answer must.
    this.#thread.ref()
    const result = new Promise<SlowDigests>((resolve, reject) => this.#waiting.set(id, { resolve, reject }))
    this.tell({ id, path })
    return result
  }

  tell(order: { id: number; path?: string; available?: number; size?: number; cancel?: true }): void {
    this.#thread.postMessage(order)
  }

  cancel(id: number): void {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return
    this.tell({ id, cancel: true })
    this.#forget(id)
    waiting.reject(new Error('the digests were not wanted any more'))
  }

  #answer({ id, digests, error }: Answer): void {
    const waiting = this.#waiting.get(id)
    this.#forget(id)
    if (digests === undefined) waiting?.reject(new Error(`digests: ${error}`))
    else waiting?.resolve(digests)
  }

  #forget(id: number): void {
    this.#waiting.delete(id)
    if (this.#waiting.size === 0) this.#thread.unref()
  }

  #die(error: Error): void {
    const index = workers.indexOf(this)
    if (index >= 0) workers.splice(index, 1)
    for (const { reject } of this.#waiting.values()) reject(error)
    this.#waiting.clear()
  }
}

function chooseWorker(): DigestWorker {
  const idlest = workers.reduce<DigestWorker | null>((a, b) => (a !== null && a.load <= b.load ? a : b), null)
  if (idlest !== null && (idlest.load === 0 || workers.length === MAX_WORKERS)) return idlest
  const worker = new DigestWorker()
  workers.push(worker)
  return worker
}
