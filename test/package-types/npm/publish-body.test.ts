import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Invalid, TooLarge } from '../../../src/errors.ts'
import { type PublishBody, readPublishBody } from '../../../src/package-types/npm/publish-body.ts'
import { Spool } from '../../../src/storage/spool.ts'

let directory: string
let spool: Spool

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'publish-body-'))
  spool = new Spool(directory)
  await spool.open()
})
afterAll(() => rm(directory, { recursive: true, force: true }))

async function* pieces(bytes: Buffer, cuts: readonly number[]): AsyncGenerator<Buffer> {
  const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  let start = 0
  for (const end of [...ends, bytes.length]) {
    yield bytes.subarray(start, end)
    start = end
  }
}

function read(text: string | Buffer, cuts: readonly number[] = [], limit = 100_000_000): Promise<PublishBody> {
  return readPublishBody(pieces(Buffer.from(text as string), cuts), spool, limit)
}

/** What the spool got, by attachment; and the document without it. */
async function readAll(text: string, cuts: readonly number[] = []) {
  const body = await read(text, cuts)
  const contents: Record<string, string> = {}
  for (const [name, entry] of body.tarballs) {
    const buffer = Buffer.alloc(entry.size)
    for (let at = 0; at < entry.size; ) at += await entry.read(buffer.subarray(at), at)
    contents[name] = buffer.toString('base64')
  }
  await body.discard()
  return { document: body.document as { _attachments?: Record<string, { data?: unknown }> }, contents }
}

/** Every cut from one byte to the next, so that each token is split everywhere. */
const everywhere = (text: string) => Array.from({ length: Buffer.byteLength(text) }, (_, index) => index)

const attached = (data: string, more = '') =>
  `{"name":"a","_attachments":{"a-1.0.0.tgz":{"content_type":"x","data":${data}${more}}},"versions":{}}`

describe('the tarball of a publish document', () => {
  test('goes to the spool and leaves the rest as JSON', async () => {
    const { document, contents } = await readAll(attached('"aGVsbG8="', ',"length":5'))
    expect(contents).toEqual({ 'a-1.0.0.tgz': 'aGVsbG8=' })
    expect(document).toMatchObject({ name: 'a', versions: {}, _attachments: { 'a-1.0.0.tgz': { length: 5 } } })
    expect(JSON.stringify(document)).not.toContain('aGVsbG8')
  })

  test('is found wherever a piece of the body ends, in any spelling of the keys', async () => {
    const text =
      '\n{ "a": [1, {"data": "x"}, "]}\\"{"], "_\\u0061ttachments" : {"a.tgz":{"d\\u0061ta" : "aG\\u0056sbG\\u0038\\/" , "z":{"data":"y"}}} }'
    const { document, contents } = await readAll(text, everywhere(text))
    expect(contents).toEqual({ 'a.tgz': 'aGVsbG8/' })
    expect(document).toMatchObject({ a: [1, { data: 'x' }, ']}"{'], _attachments: { 'a.tgz': { z: { data: 'y' } } } })
  })

  test('may be empty, and beside others', async () => {
    const { document, contents } = await readAll(
      '{"_attachments":{"a.sigstore":{"data":"{\\"x\\":1}"},"a.tgz":{"data":""},"b.tgz":{"data":"QQ=="}}}',
    )
    expect(contents).toEqual({ 'a.tgz': '', 'b.tgz': 'QQ==' })
    expect(document._attachments?.['a.sigstore']?.data).toBe('{"x":1}')
  })

  test('is the last one where keys repeat, as for JSON.parse', async () => {
    const { contents } = await readAll(
      '{"_attachments":{"a.tgz":{"data":"QQ==","data":"Qg=="},"a.tgz":{"data":"Qw==","data":1,"data":"RA=="}}}',
    )
    expect(contents).toEqual({ 'a.tgz': 'RA==' })
    const { document, contents: none } = await readAll('{"_attachments":{"a.tgz":{"data":"QQ==","data":1}}}')
    expect(none).toEqual({})
    expect(document._attachments?.['a.tgz']?.data).toBe(1)
    expect(await readdir(directory)).toEqual([])
  })

  test.each([
    '{"data":"QQ=="}',
    '{"_attachments":{"data":"QQ=="}}',
    '{"_attachments":{"x":{"a.tgz":{"data":"QQ=="}}}}',
    '[{"_attachments":{"a.tgz":{"data":"QQ=="}}}]',
    '{"_attachments":[{"data":"QQ=="}]}',
    '{"_attachments":{"a.tgz":["data","QQ=="]}}',
    '{"_attachments":{"a.tgz":[{"data":"QQ=="}]}}',
    '{"x":{"a.tgz":{"data":"QQ=="}}}',
    '{"_attachments":{"a.tgz":{"data":["QQ=="]}}}',
    '{"_attachments":{"a.tgz":{"x":"data"}}}',
    '"_attachments"',
    'null',
    '7',
  ])('is not looked for elsewhere: %s', async (text) => {
    const { document, contents } = await readAll(text, everywhere(text))
    expect(document).toEqual(JSON.parse(text))
    expect(contents).toEqual({})
  })

  test.each([
    '"QQ="',
    '"QQ"',
    '"QQ==="',
    '"QR=="',
    '"Q Q="',
    '"QQ==\\n"',
    '"_-=="',
    '"QQ==QQ=="',
    '"Q\\tQ="',
    '"Q\\u00e4=="',
    '"Q\\u0022=="',
    '"QQ=\\""',
    '"\\uZZZZ"',
  ])('is canonical base64 or refused: %s', async (data) => {
    const text = attached(data)
    await expect(read(text)).rejects.toThrow(Invalid)
    await expect(read(text, everywhere(text))).rejects.toThrow(Invalid)
  })

  test('of several megabytes comes through whole, whatever the pieces', async () => {
    const bytes = Buffer.alloc(5_000_001, 'some bytes that repeat ')
    const text = attached(JSON.stringify(bytes.toString('base64')))
    const body = await read(text, [1, 70_000, 70_001, 1_000_003, 3_333_333])
    const entry = body.tarballs.get('a-1.0.0.tgz')!
    const { digestsOf } = await import('../../../src/storage/digest.ts')
    expect(entry.size).toBe(bytes.length)
    expect(entry.digests).toEqual(digestsOf(bytes))
    await body.discard()
    expect(await readdir(directory)).toEqual([])
  })
})

describe('a body that is refused', () => {
  test.each([
    '',
    '{',
    '{"a":1,}',
    '{"a":1}}',
    ']',
    '{"_attachments":{"a.tgz":{"data":"QQ=="}',
    '{"_attachments":{"a.tgz":{"data":"QQ',
    '{"_attachments":{"a.tgz":{"data" "QQ=="}}}',
    '{"_attachments":{"a.tgz":{"data":"QQ==" "x"}}}',
    '{"_attachments":{"a.tgz":{"data":1 "QQ=="}}}',
    '{"a\\x":1}',
    '{"a',
    '{"a":"\u0001"}',
    attached('"QQ=="').repeat(2),
  ])('is not JSON: %j', async (text) => {
    await expect(read(text)).rejects.toThrow(Invalid)
    await expect(read(text, everywhere(text))).rejects.toThrow(Invalid)
    expect(await readdir(directory)).toEqual([])
  })

  test('is no UTF-8', async () => {
    await expect(read(Buffer.from([0x22, 0xff, 0x22]))).rejects.toThrow(Invalid)
  })

  test('is nested too deeply', async () => {
    await expect(read('['.repeat(100_000))).rejects.toThrow(Invalid)
    await expect(read(`${'['.repeat(200)}${']'.repeat(200)}`)).resolves.toBeDefined()
  })

  test('is too large, by its bytes or by what is no tarball', async () => {
    await expect(read(attached('"QQ=="'), [], 20)).rejects.toThrow(TooLarge)
    await expect(read(`"${'x'.repeat(33 * 1024 * 1024)}"`)).rejects.toThrow(TooLarge)
    const large = attached(`"${'A'.repeat(40 * 1024 * 1024)}"`)
    const body = await read(large, [1_000_000])
    expect(body.tarballs.get('a-1.0.0.tgz')!.size).toBe(30 * 1024 * 1024)
    await body.discard()
  })

  test('comes in millions of pieces: memory stays in proportion to the bytes', async () => {
    const before = process.memoryUsage().heapUsed
    let grown = 0
    async function* bytes() {
      const piece = Buffer.from('x')
      yield Buffer.from('"')
      for (let count = 0; count < 3_000_000; count += 1) yield piece
      grown = process.memoryUsage().heapUsed - before
      yield Buffer.from('"')
    }
    const { document } = await readPublishBody(bytes(), spool, 100_000_000)
    expect((document as string).length).toBe(3_000_000)
    // A Buffer for each would be over 300 MB.
    expect(grown).toBeLessThan(150_000_000)
  })

  test('has a crowd of attachments', async () => {
    const many = Array.from({ length: 9 }, (_, index) => `"${index}.tgz":{"data":""}`).join(',')
    await expect(read(`{"_attachments":{${many}}}`)).rejects.toThrow(Invalid)
  })

  test('breaks off: nothing is left in the spool', async () => {
    async function* broken() {
      yield Buffer.from(`${attached('"').slice(0, -20)}${'QUJD'.repeat(1_000_000)}`)
      throw new Error('the client left')
    }
    await expect(readPublishBody(broken(), spool, 100_000_000)).rejects.toThrow(Invalid)
    expect(await readdir(directory)).toEqual([])
  })
})

describe('for any document and any pieces', () => {
  const key = fc.oneof(
    fc.constantFrom(
      '_attachments',
      'data',
      'a.tgz',
      'b.tgz',
      'x.sigstore',
      'versions',
      '__proto__',
      'length',
      '"',
      '\\',
    ),
    fc.string(),
  )
  const base64 = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('base64'))
  const attachments = fc.dictionary(
    key,
    fc.oneof(fc.record({ data: fc.oneof(base64, fc.constant(3)), x: fc.jsonValue() }), fc.jsonValue()),
  )
  const documents = fc.oneof(
    fc.jsonValue(),
    fc.record({ name: fc.string(), versions: fc.jsonValue(), _attachments: attachments }),
    fc.dictionary(key, fc.oneof(attachments, fc.jsonValue())),
  )

  test('it means what JSON.parse says, with the tarballs cut out', async () => {
    await fc.assert(
      fc.asyncProperty(
        documents,
        fc.constantFrom(undefined, 2, '\t'),
        fc.array(fc.nat(), { maxLength: 30 }),
        fc.boolean(),
        async (document, indent, cuts, escapes) => {
          // Everything may be written as an escape, keys and base64 too.
          const plain = JSON.stringify(document, null, indent)
          const text = escapes ? plain.replace(/[a-z/](?=[^"\\]*")/g, escapeLetters) : plain
          if (!isSame(text, plain)) return
          const expected = JSON.parse(plain)
          const { document: rest, contents } = await readOr(text, cuts, expected)
          for (const [name, data] of Object.entries(contents)) rest._attachments![name]!.data = data
          expect(rest).toEqual(expected)
        },
      ),
      { numRuns: 400 },
    )
  })

  test('cutting it short is an error', async () => {
    const text = JSON.stringify({
      _attachments: { 'a.tgz': { data: 'QUJDREVG', length: 6 } },
      versions: { '1.0.0': { a: '\\' } },
    })
    for (let end = 0; end < text.length; end += 1) await expect(read(text.slice(0, end))).rejects.toThrow(Invalid)
  })
})

/** The result, or for documents whose `data` of a tarball is no base64, a refusal that is justified. */
async function readOr(text: string, cuts: readonly number[], expected: unknown) {
  try {
    return await readAll(text, cuts)
  } catch (error) {
    expect(error).toBeInstanceOf(Invalid)
    const attachments = (expected as { _attachments: Record<string, { data: string }> })._attachments
    const bad = Object.entries(attachments).some(
      ([name, attachment]) =>
        name.endsWith('.tgz') &&
        Buffer.from(String(attachment?.data), 'base64').toString('base64') !== attachment?.data,
    )
    expect(bad).toBe(true)
    return { document: expected as { _attachments?: Record<string, { data?: unknown }> }, contents: {} }
  }
}

function escapeLetters(letter: string): string {
  return letter === '/' ? '\\/' : `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`
}

function isSame(a: string, b: string): boolean {
  try {
    return JSON.stringify(JSON.parse(a)) === JSON.stringify(JSON.parse(b))
  } catch {
    return false
  }
}
