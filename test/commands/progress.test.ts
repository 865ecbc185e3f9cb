import { describe, expect, test } from 'vitest'
import { Progress } from '../../src/commands/progress.ts'
import { formatAmount, formatBytes } from '../../src/commands/terminal.ts'

function watch(isTTY: boolean, total: number, unit: 'count' | 'bytes' | 'share' = 'count', columns = 80) {
  let now = 1_000
  const written: string[] = []
  const output = { isTTY, columns, write: (text: string) => written.push(text) }
  const progress = new Progress(output, { label: 'work', total, unit, now: () => now })
  return { progress, written, wait: (ms: number) => (now += ms) }
}

describe('progress', () => {
  test('on a terminal is one line that is drawn over, ten times a second at most, and gone at the end', () => {
    const { progress, written, wait } = watch(true, 10_000)
    for (let step = 0; step < 10_000; step += 1) {
      wait(0.1)
      progress.advance(1)
    }
    expect(written.length).toBeGreaterThan(5)
    expect(written.length).toBeLessThanOrEqual(10)
    expect(written.join('')).not.toContain('\n')
    expect(written[4]).toMatch(/^\r\u001b\[Kwork: \[############\.{12}\] (49|50) % [45],\d{3} of 10,000$/)
    progress.clear()
    expect(written.at(-1)).toBe('\r\u001b[K')
    progress.clear()
    expect(written.filter((text) => text === '\r\u001b[K')).toHaveLength(1)
  })

  test('tells how long it will take, and never fills the line', () => {
    const { progress, written, wait } = watch(true, 4 * 2 ** 30, 'bytes')
    wait(10_000)
    progress.advance(2 ** 30)
    expect(written.at(-1)).toContain('25 % 1.0 GiB of 4.0 GiB, 30 s left')
    const narrow = watch(true, 100, 'count', 20)
    narrow.wait(10_000)
    narrow.progress.advance(1)
    expect(narrow.written.at(-1)!.replace('\r\u001b[K', '')).toHaveLength(19)
  })

  test('elsewhere is a plain line every five seconds, and none for what is done by then', () => {
    const { progress, written, wait } = watch(false, 100)
    wait(4_999)
    progress.advance(10)
    progress.clear()
    expect(written).toEqual([])
    wait(1)
    progress.advance(10)
    progress.advance(10)
    expect(written).toEqual(['work: 20 % 20 of 100, 20 s left\n'])
    wait(5_000)
    progress.to(100)
    expect(written.at(-1)).toBe('work: 100 % 100 of 100\n')
  })

  test('counts when nobody knows how much there is, and shows a share alone', () => {
    const unknown = watch(false, 0)
    unknown.wait(5_000)
    unknown.progress.advance(1_234)
    expect(unknown.written).toEqual(['work: 1,234\n'])
    const share = watch(false, 1, 'share')
    share.wait(5_000)
    share.progress.to(0.5)
    expect(share.written).toEqual(['work: 50 %, 5 s left\n'])
  })

  test('amounts are written for people', () => {
    expect([0, 1, 1023, 1024, 150 * 1024, 1.5 * 2 ** 40].map(formatBytes)).toEqual([
      ...['0 bytes', '1 bytes', '1023 bytes', '1.0 KiB', '150 KiB', '1.5 TiB'],
    ])
    expect([0, 1, 1_234].map((count) => formatAmount(count, 'row'))).toEqual(['0 rows', '1 row', '1,234 rows'])
  })
})
