import { expect, test } from 'vitest'
import { Notices } from '../../src/cache/notices.ts'
import { type PackageEvent, PackageEvents } from '../../src/packages/events.ts'

/** Records what is sent to other replicas and can play one of them. */
class RecordingNotices extends Notices {
  readonly sent: [topic: string, key: string][] = []
  readonly listeners = new Map<string, (key: string) => void>()

  override subscribe(topic: string, listener: (key: string) => void): void {
    this.listeners.set(topic, listener)
  }

  override publish(topic: string, key: string): void {
    this.sent.push([topic, key])
  }
}

const changed: PackageEvent = { action: 'changed', ownerId: 1, type: 'npm', lowerName: 'a"\n' }
const fileRemoved: PackageEvent = { action: 'file-removed', fileId: 7 }
const created = { action: 'created', owner: {}, type: 'npm', name: 'a', version: '1', doer: null } as PackageEvent

test('every listener hears every event in order, also after one that throws', () => {
  const errors: unknown[] = []
  const events = new PackageEvents(new Notices(), (error) => errors.push(error))
  const heard: PackageEvent[] = []
  events.on(() => {
    throw new Error('broken')
  })
  events.on((event) => heard.push(event))
  for (const event of [changed, fileRemoved, created]) events.emit(event)
  expect(heard).toEqual([changed, fileRemoved, created])
  expect(errors).toHaveLength(3)
})

test('other replicas hear what makes their copies wrong, and do not send it on', () => {
  const [here, there] = [new RecordingNotices(), new RecordingNotices()]
  const events = new PackageEvents(here, () => {})
  const heard: PackageEvent[] = []
  new PackageEvents(there, () => {}).on((event) => heard.push(event))
  for (const event of [changed, fileRemoved, created]) events.emit(event)
  for (const [topic, key] of here.sent) there.listeners.get(topic)!(key)
  expect(heard).toEqual([changed, fileRemoved])
  expect(there.sent).toEqual([])
})
