import { expect, test } from 'vitest'
import { formatScopes, Grants, parseScopes } from '../../src/auth/grants.ts'

const repositories = (...texts: string[]) => parseScopes(texts).repositories

test('scopes are read from one text or several, and those of one repository are joined', () => {
  expect(repositories('repository:a/b:push,pull repository:c/d:delete', 'repository:a/b:pull')).toEqual([
    { name: 'a/b', actions: ['pull', 'push'] },
    { name: 'c/d', actions: ['delete'] },
  ])
})

test('a star is every action, a plug-in is a repository, and a name may have a port', () => {
  expect(repositories('repository:a/b:*')).toEqual([{ name: 'a/b', actions: ['pull', 'push', 'delete'] }])
  expect(repositories('repository(plugin):a/b:pull')).toEqual([{ name: 'a/b', actions: ['pull'] }])
  expect(repositories('repository:host:5000/a/b:pull')).toEqual([{ name: 'host:5000/a/b', actions: ['pull'] }])
})

test('the catalog is asked for by its own scope only', () => {
  expect(parseScopes(['* registry:catalog:*'])).toEqual({ repositories: [], catalog: true })
  expect(parseScopes(['registry:catalog:pull', 'registry:other:*']).catalog).toBe(false)
})

test.each([
  ['nothing', ''],
  ['spaces', '   '],
  ['the star of other registries', '*'],
  ['no action', 'repository:a/b:'],
  ['no colon for the action', 'repository:a/b'],
  ['no name', 'repository::pull'],
  ['colons only', ':::::'],
  ['an unknown type', 'folder:a/b:pull'],
  ['an unknown action', 'repository:a/b:admin,PULL'],
  ['a half plug-in', 'repository(plugin:a/b:pull'],
  ['a name over the limit', `repository:${'a'.repeat(256)}:pull`],
])('%s asks for nothing', (_name, text) => {
  expect(parseScopes([text])).toEqual({ repositories: [], catalog: false })
})

test('twenty repositories are enough: the token has to fit into a header', () => {
  const many = Array.from({ length: 1_000 }, (_, index) => `repository:a/b${index}:pull`)
  expect(repositories(...many).map(({ name }) => name)).toEqual(Array.from({ length: 20 }, (_, index) => `a/b${index}`))
  expect(repositories(many.join(' '))).toHaveLength(20)
})

test('a megabyte of colons and brackets is read at once', () => {
  expect(repositories('repository('.repeat(100_000), ':'.repeat(1_000_000))).toEqual([])
})

test('what was asked is written as it was read', () => {
  const text = 'repository:a/b:pull,push repository:c/d:delete registry:catalog:*'
  expect(formatScopes(parseScopes([text]))).toBe(text)
})

test('grants allow the named action on the named repository alone', () => {
  const grants = new Grants(parseScopes(['repository:acme/app:pull']))
  expect(grants.allows('acme/app', 'pull')).toBe(true)
  expect(grants.allows('acme/app', 'push')).toBe(false)
  expect(grants.allows('acme/app/more', 'pull')).toBe(false)
  expect(grants.allows('constructor', 'pull')).toBe(false)
})
