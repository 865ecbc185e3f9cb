import { Invalid } from '../../errors.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const LOWER_U = 0x75
const SLASH = 0x2f

/** What one piece of the string gave: bytes, where to go on, and whether its closing quote was reached. */
export interface Decoded {
  readonly bytes: Buffer
  readonly next: number
  readonly isEnd: boolean
}

/**
 * Decodes a JSON string that holds base64, piece by piece, from behind its opening quote on. Only the one canonical
 * spelling of some bytes is taken: full alphabet, padded, no blanks, no stray bits; JSON escapes of those characters
 * (`\/`, `\u002b`) are fine. Anything else is Invalid.
 */
export class Base64Decoder {
  /** Characters not decoded yet, at most 4: the last group may hold padding. */
  #pending = ''
  /** An escape that a piece ended in the middle of. */
  #escape: number[] = []

  decode(chunk: Buffer, start: number): Decoded {
    let end = chunk.indexOf(QUOTE, start)
    const isEnd = end !== -1
    if (!isEnd) end = chunk.length
    const plain = chunk.subarray(start, end)
    const hasEscapes = this.#escape.length > 0 || plain.includes(BACKSLASH)
    const text = (hasEscapes ? this.#unescape(plain) : plain).toString('latin1')
    if (isEnd && this.#escape.length > 0) throw notBase64()
    return { bytes: this.#decodeText(text, isEnd), next: isEnd ? end + 1 : end, isEnd }
  }

  #decodeText(text: string, isEnd: boolean): Buffer {
    const all = this.#pending + text
    const whole = isEnd ? all.length : Math.max(0, Math.floor((all.length - 1) / 4) * 4)
    this.#pending = all.slice(whole)
    const body = isEnd ? all.slice(0, Math.max(0, all.length - 4)) : all.slice(0, whole)
    const bytes = Buffer.from(body, 'base64')
    // The decoder skips what it does not know and takes the URL alphabet too: both are refused.
    if (bytes.length * 4 !== body.length * 3 || body.includes('-') || body.includes('_')) throw notBase64()
    if (!isEnd) return bytes
    const last = all.slice(body.length)
    const tail = Buffer.from(last, 'base64')
    if (tail.toString('base64') !== last) throw notBase64()
    return Buffer.concat([bytes, tail])
  }

  #unescape(piece: Buffer): Buffer {
    const out = Buffer.allocUnsafe(piece.length + 1)
    let length = 0
    for (const byte of piece) {
      if (this.#escape.length === 0 && byte !== BACKSLASH) {
        out[length++] = byte
        continue
      }
      this.#escape.push(byte)
      const character = unescaped(this.#escape)
      if (character === null) continue
      out[length++] = character
      this.#escape = []
    }
    return out.subarray(0, length)
  }
}

/** The character of a complete escape, null while it is incomplete; only characters of base64 can be right. */
function unescaped(sequence: readonly number[]): number | null {
  if (sequence.length === 1) return null
  if (sequence[1] === SLASH) return SLASH
  if (sequence[1] !== LOWER_U) throw notBase64()
  if (sequence.length < 6) return null
  const hex = String.fromCharCode(...sequence.slice(2))
  const code = /^[0-9a-fA-F]{4}$/.test(hex) ? Number.parseInt(hex, 16) : Number.NaN
  if (!(code < 0x80)) throw notBase64()
  return code
}

function notBase64(): Invalid {
  return new Invalid('an attachment is not canonical base64', 'body')
}
