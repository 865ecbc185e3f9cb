import { isAscii } from 'node:buffer'
import { Invalid } from '../../errors.ts'

/** Characters of a reason that are passed on: it may quote the document. */
const MAX_REASON = 150
/** Bytes at the start that hold an XML declaration. */
const START = 200

const DECLARED = /^\s*<\?xml\s[^>]*?\sencoding\s*=\s*["']([A-Za-z][\w.-]*)["']/
/** Byte order marks. */
const MARKS = [
  { mark: '\xef\xbb\xbf', encoding: 'utf-8' },
  { mark: '\xff\xfe', encoding: 'utf-16le' },
  { mark: '\xfe\xff', encoding: 'utf-16be' },
]
/** What windows-1252 has where ISO-8859-1 has control characters. */
const WINDOWS_1252 = '€\x81‚ƒ„…†‡ˆ‰Š‹Œ\x8dŽ\x8f\x90‘’“”•–—˜™š›œ\x9džŸ'

/**
 * The text of a document, decoded by its byte order mark, else by the encoding that its XML declaration names, else as
 * UTF-8, without the mark and the blanks that Maven allows before a declaration. Throws Invalid for an encoding that is
 * not known and for bytes that are not in it.
 */
export function decodeXml(bytes: Buffer): string {
  const start = bytes.toString('latin1', 0, START)
  const marked = MARKS.find(({ mark }) => start.startsWith(mark))?.encoding
  const encoding = marked ?? DECLARED.exec(start)?.[1]?.toLowerCase() ?? 'utf-8'
  if (encoding === 'utf-16') throw unreadable('it is declared as UTF-16, but has no byte order mark')
  return decodeAs(encoding, bytes).replace(/^[ \t\r\n]+/, '')
}

/** Of a document that no retry will make readable; `reason` is a sentence without a full stop, about "it". */
export function unreadable(reason: string): Invalid {
  return new Invalid(`the XML cannot be read: ${reason.slice(0, MAX_REASON)}`, 'file')
}

function decodeAs(encoding: string, bytes: Buffer): string {
  // Browsers take these three for one, and so does TextDecoder.
  if (encoding === 'iso-8859-1') return bytes.toString('latin1')
  if (encoding === 'windows-1252' || encoding === 'cp1252') return fromWindows1252(bytes)
  if (encoding === 'us-ascii' && !isAscii(bytes)) throw unreadable('it is declared as US-ASCII, but has other bytes')
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(bytes)
  } catch (error) {
    throw unreadable(error instanceof RangeError ? `its encoding ${encoding} is not known` : `it is not ${encoding}`)
  }
}

// Node 20's TextDecoder takes windows-1252 for ISO-8859-1.
function fromWindows1252(bytes: Buffer): string {
  return bytes.toString('latin1').replace(/[\u0080-\u009f]/g, (char) => WINDOWS_1252[char.charCodeAt(0) - 0x80]!)
}
