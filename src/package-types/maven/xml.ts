import { setImmediate as nextTurn } from 'node:timers/promises'
import { SaxesParser } from 'saxes'
import { Invalid } from '../../errors.ts'
import { decodeXml, unreadable } from './xml-encoding.ts'
import { ENTITIES } from './xml-entities.ts'

/** The largest document that is read, in bytes. */
const MAX_BYTES = 8 * 1024 * 1024
const MAX_DEPTH = 100
/** Elements and attributes together. */
const MAX_NODES = 200_000
/** Characters of one element's own text, and of one piece of markup: an attribute, a comment. */
const MAX_TEXT = 1024 * 1024
/** Characters that the parser is given at a time. */
const CHUNK = 64 * 1024

const BLANK: ReadonlySet<string | undefined> = new Set([' ', '\t', '\r', '\n'])

/** An element of a document; attributes, comments and processing instructions are dropped. */
export interface XmlElement {
  /** Without a namespace prefix. */
  readonly name: string
  /** The element's own text, CDATA sections included, without blanks around it. */
  readonly text: string
  readonly children: readonly XmlElement[]
}

interface OpenElement {
  readonly name: string
  text: string
  readonly children: XmlElement[]
}

/**
 * The root element of an XML 1.0 document in the encoding of its byte order mark or declaration. Throws Invalid for what
 * is not well-formed, has a document type (so nothing can be expanded or fetched), is larger than 8 MiB, deeper than 100
 * elements, has more than 200 000 elements and attributes or a piece of more than 1 Mi characters, or is not in its
 * encoding. Reads hardly further than the first of these.
 */
export function parseXml(bytes: Buffer): XmlElement {
  const reading = read(bytes)
  for (;;) {
    const { done, value } = reading.next()
    if (done === true) return value
  }
}

/** The same for what anybody may send: the largest documents take seconds, and others get their turns meanwhile. */
export async function parseXmlInTurns(bytes: Buffer): Promise<XmlElement> {
  const reading = read(bytes)
  for (;;) {
    const { done, value } = reading.next()
    if (done === true) return value
    await nextTurn()
  }
}

/** The first child of that name. */
export function childOf(element: XmlElement, name: string): XmlElement | null {
  return element.children.find((child) => child.name === name) ?? null
}

/** The children of that name of the first child `list`. */
export function entriesOf(element: XmlElement, list: string, name: string): XmlElement[] {
  return childOf(element, list)?.children.filter((child) => child.name === name) ?? []
}

/** The text at the end of a path of first children; null where it is absent or empty. */
export function textOf(element: XmlElement, ...path: string[]): string | null {
  let found: XmlElement | null = element
  for (const name of path) found = found && childOf(found, name)
  return found?.text || null
}

/** Piece by piece. */
function* read(bytes: Buffer): Generator<undefined, XmlElement> {
  if (bytes.length > MAX_BYTES) throw unreadable(`it has more than ${MAX_BYTES} bytes`)
  const text = decodeXml(bytes)
  if (hasDocumentType(text)) throw unreadable('it has a DOCTYPE')
  const builder = new TreeBuilder()
  const parser = makeParser(builder)
  try {
    for (let at = 0; at < text.length; at += CHUNK) {
      parser.write(text.slice(at, at + CHUNK))
      builder.wait(CHUNK)
      yield
    }
    parser.close()
  } catch (error) {
    if (error instanceof Invalid) throw error
    throw unreadable((error as Error).message)
  }
  return builder.root!
}

function makeParser(builder: TreeBuilder): SaxesParser {
  const parser = new SaxesParser()
  // As saxes makes its own; the prototype of ours has none.
  parser.ENTITIES = Object.create(ENTITIES)
  parser.on('xmldecl', ({ version }) => {
    // Maven reads no other, which may have control characters.
    if (version !== '1.0') throw unreadable('only version 1.0 of XML is read')
  })
  parser.on('opentagstart', ({ name }) => builder.open(name))
  parser.on('attribute', () => builder.count())
  parser.on('text', (text) => builder.append(text))
  parser.on('cdata', (text) => builder.append(text))
  parser.on('closetag', () => builder.close())
  parser.on('comment', () => builder.advance())
  parser.on('processinginstruction', () => builder.advance())
  return parser
}

/** What the events of a parser make, within the limits. */
class TreeBuilder {
  /** Null until the document's end. */
  root: XmlElement | null = null
  readonly #open: OpenElement[] = []
  #nodes = 0
  #waited = 0

  /** Of characters that the parser has taken: it keeps a piece of markup or text until its end. */
  wait(characters: number): void {
    this.#waited += characters
    if (this.#waited > MAX_TEXT) throw unreadable(`a piece of it has more than ${MAX_TEXT} characters`)
  }

  advance(): void {
    this.#waited = 0
  }

  count(): void {
    this.advance()
    if (++this.#nodes > MAX_NODES) throw unreadable(`it has more than ${MAX_NODES} elements and attributes`)
  }

  open(name: string): void {
    this.count()
    if (this.#open.length === MAX_DEPTH) throw unreadable(`its elements are nested more than ${MAX_DEPTH} deep`)
    this.#open.push({ name: name.slice(name.lastIndexOf(':') + 1), text: '', children: [] })
  }

  append(text: string): void {
    this.advance()
    const element = this.#open.at(-1)
    if (element === undefined) return
    element.text += text
    if (element.text.length > MAX_TEXT) throw unreadable(`an element has more than ${MAX_TEXT} characters`)
  }

  close(): void {
    this.advance()
    const { name, text, children } = this.#open.pop()!
    const element = { name, text: trim(text), children }
    const parent = this.#open.at(-1)
    if (parent === undefined) this.root = element
    else parent.children.push(element)
  }
}

/**
 * Whether a document type is the first thing that is no declaration, comment, processing instruction or blank; saxes
 * refuses one elsewhere at its start, but tells of this one only at its end.
 */
function hasDocumentType(text: string): boolean {
  for (let at = 0; ; ) {
    while (BLANK.has(text[at])) at++
    const end = text.startsWith('<!--', at) ? '-->' : text.startsWith('<?', at) ? '?>' : null
    if (end === null) return text.startsWith('<!DOCTYPE', at)
    const found = text.indexOf(end, at + (end === '-->' ? 4 : 2))
    if (found === -1) return false
    at = found + end.length
  }
}

/** Only what XML takes for blank: `String.trim` takes more, and a regular expression takes its time. */
function trim(text: string): string {
  let start = 0
  let end = text.length
  while (BLANK.has(text[start])) start++
  while (end > start && BLANK.has(text[end - 1])) end--
  return text.slice(start, end)
}
