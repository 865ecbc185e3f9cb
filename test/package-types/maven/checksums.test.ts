import { expect, test } from 'vitest'
import { parseChecksum } from '../../../src/package-types/maven/checksums.ts'

const sha1 = 'a94a8fe5ccb19ba61c4c0873d391e987982fbbd3'
const md5 = '098f6bcd4621d373cade4e832627b4f6'

test.each([
  sha1,
  `${sha1}\r\n`,
  sha1.toUpperCase(),
  `${sha1}  tool-1.0.jar\n`,
  `SHA1(tool-1.0.jar)= ${sha1}`,
  `tool-1.0.jar: ${sha1}`,
  `${md5} ${sha1}`,
  `${'ab'.repeat(4)} ${sha1}`,
])('%j holds the digest', (text) => {
  expect(parseChecksum(text, 'sha1')).toBe(sha1)
})

test.each(['', '\n', md5, sha1.slice(1), `${sha1}0`, `x${sha1}`, `${sha1.slice(0, 20)} ${sha1.slice(20)}`, '<html>'])(
  '%j holds none',
  (text) => {
    expect(parseChecksum(text, 'sha1')).toBeNull()
  },
)

test('another algorithm has another length', () => {
  expect(parseChecksum(`${sha1} ${md5}`, 'md5')).toBe(md5)
})
