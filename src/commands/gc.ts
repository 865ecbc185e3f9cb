import { theCommandLine } from '../audit/entry.ts'
import { parseDuration } from '../config/units.ts'
import type { GarbageProgress } from '../packages/garbage.ts'
import type { Command } from './command.ts'
import { Progress } from './progress.ts'
import { withServices } from './start.ts'
import { formatAmount, formatBytes, formatCount, type Terminal, UsageError } from './terminal.ts'

const labels: Record<GarbageProgress['step'], string> = {
  uploads: 'unfinished uploads',
  files: 'layers without a manifest',
  packages: 'packages without versions',
  blobs: 'blobs',
}

/** What the server does by itself at midnight (UTC). */
export const gc: Command = {
  name: 'gc',
  summary: 'Delete what nothing refers to any more, and say how much that freed.',
  options: {
    'older-than': { value: 'AGE', help: 'spare what is younger, e.g. 30m, 24h, 7d (default 24h)' },
  },
  help: `Unfinished uploads that nobody goes on with, container layers that no manifest came to name, packages without
versions, and contents that no package and no document of a mirror refers to. The server does the same every
midnight (UTC), so this is for a disk that is full now. Safe beside a running server and its uploads; only
a \`docker push\` whose layers are older than AGE, but whose manifest has not come yet, would have to start again.

Cleanup rules are not applied: they decide what is garbage, this removes it.`,
  run: async (input, terminal) => {
    const age = input.value('older-than') ?? '24h'
    const olderThan = parseDuration(age)
    if (olderThan === null) throw new UsageError(`--older-than: ${JSON.stringify(age)} is not a duration such as 24h`)
    return withServices(terminal, async ({ packages, audit }) => {
      const watch = new Watch(terminal)
      const freed = await packages.collectGarbage({ olderThan, onProgress: (progress) => watch.see(progress) })
      const { bytes } = freed
      audit.record(theCommandLine, 'garbage.collected', {}, { older_than: age, blobs: freed.blobs, bytes })
      watch.end()
      terminal.stdout.write(`Freed ${formatBytes(bytes)} (${bytes} bytes). Deleted:\n`)
      for (const [step, label] of Object.entries(labels)) {
        const count = formatCount(watch.deleted.get(step as GarbageProgress['step']) ?? 0)
        terminal.stdout.write(`  ${label.padEnd(28)}${count}\n`)
      }
      if (watch.left > 0) {
        const left = formatAmount(watch.left, 'blob')
        terminal.stderr.write(`${left} could not be deleted or came into use meanwhile; the next run looks again.\n`)
      }
      return 0
    })
  },
}

/** Shows the steps, and remembers what each has deleted. */
class Watch {
  readonly deleted = new Map<GarbageProgress['step'], number>()
  left = 0
  readonly #terminal: Terminal
  #bar: Progress | null = null

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  see({ step, deleted, seen, total }: GarbageProgress): void {
    this.deleted.set(step, deleted)
    if (step !== 'blobs') return
    this.left = seen - deleted
    this.#bar ??= new Progress(this.#terminal.stderr, { label: 'deleting blobs', total, unit: 'count' })
    this.#bar.to(seen)
  }

  end(): void {
    this.#bar?.clear()
  }
}
