// Hashes files that are still growing, away from the event loop. Plain JavaScript, because a worker thread loads it
// by its URL both from the sources and from dist/. Synchronous reads are right here: nobody else waits in this thread.
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync } from 'node:fs'
import { parentPort } from 'node:worker_threads'

/**
 * @typedef {{ id: number, path?: string, available?: number, size?: number, cancel?: true }} Order
 * @typedef {{ fd: number, position: number, available: number, size: number | null, hashes: import('node:crypto').Hash[] }} Job
 */

const STEP = 1024 * 1024
const buffer = Buffer.allocUnsafeSlow(STEP)
/** @type {Map<number, Job>} */
const jobs = new Map()
let running = false

parentPort?.on('message', (/** @type {Order} */ order) => {
  try {
    obey(order)
  } catch (error) {
    fail(order.id, error)
  }
  if (!running) {
    running = true
    setImmediate(turn)
  }
})

/** @param {Order} order */
function obey({ id, path, available, size, cancel }) {
  if (path !== undefined) {
    const hashes = ['md5', 'sha1', 'sha512'].map((algorithm) => createHash(algorithm))
    jobs.set(id, { fd: openSync(path, 'r'), position: 0, available: 0, size: null, hashes })
  }
  const job = jobs.get(id)
  if (job === undefined) return
  if (available !== undefined) job.available = available
  if (size !== undefined) job.size = size
  if (cancel) drop(id)
}

/** One step for every file that has bytes left, then again: a large file does not hold up a small one. */
function turn() {
  let worked = false
  for (const [id, job] of jobs) {
    try {
      worked = step(id, job) || worked
    } catch (error) {
      fail(id, error)
    }
  }
  running = worked
  if (worked) setImmediate(turn)
}

/**
 * @param {number} id
 * @param {Job} job
 */
function step(id, job) {
  const wanted = Math.min(STEP, job.available - job.position)
  if (wanted > 0) {
    const bytes = readSync(job.fd, buffer, 0, wanted, job.position)
    if (bytes === 0) throw new Error('the spool file is shorter than what was written to it')
    for (const hash of job.hashes) hash.update(buffer.subarray(0, bytes))
    job.position += bytes
  }
  if (job.position === job.size) {
    const [md5, sha1, sha512] = job.hashes.map((hash) => hash.digest('hex'))
    parentPort?.postMessage({ id, digests: { md5, sha1, sha512 } })
    drop(id)
  }
  return wanted > 0
}

/** @param {number} id */
function drop(id) {
  const job = jobs.get(id)
  if (job === undefined) return
  jobs.delete(id)
  closeSync(job.fd)
}

/**
 * @param {number} id
 * @param {unknown} error
 */
function fail(id, error) {
  drop(id)
  parentPort?.postMessage({ id, error: error instanceof Error ? error.message : String(error) })
}
