import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Invalid } from '../../../src/errors.ts'
import {
  readMetadata as readRoot,
  renderArtifactMetadata,
  renderPluginMetadata,
  renderSnapshotMetadata,
} from '../../../src/package-types/maven/metadata-xml.ts'
import { parseXml } from '../../../src/package-types/maven/xml.ts'

const HEADER = '<?xml version="1.0" encoding="UTF-8"?>\n'
const NOON = Date.UTC(2026, 10, 21, 12, 0, 0, 999)

function readMetadata(bytes: Buffer) {
  return readRoot(parseXml(bytes))
}

function read(text: string) {
  return readMetadata(Buffer.from(text))
}

const NOTHING = {
  groupId: null,
  artifactId: null,
  version: null,
  versions: [],
  lastUpdated: null,
  snapshot: null,
  plugins: [],
}

describe('the metadata of an artifact', () => {
  const render = (...versions: [version: string, createdAt: number][]) =>
    renderArtifactMetadata({
      group: 'com.acme',
      artifact: 'tiny',
      versions: versions.map(([version, createdAt]) => ({ version, createdAt })),
    }).toString()

  test('is what Gitea sends, and when it was last changed', () => {
    expect(render(['1.0.1', NOON])).toBe(
      `${HEADER}<metadata><groupId>com.acme</groupId><artifactId>tiny</artifactId><versioning>` +
        '<release>1.0.1</release><latest>1.0.1</latest><versions><version>1.0.1</version></versions>' +
        '<lastUpdated>20261121120000</lastUpdated></versioning></metadata>',
    )
  })

  test('lists versions as given; a snapshot may be the latest, but not the release', () => {
    expect(render(['2.0', NOON], ['1.0', NOON + 1000], ['2.1-SNAPSHOT', NOON + 500])).toContain(
      '<release>1.0</release><latest>2.1-SNAPSHOT</latest><versions><version>2.0</version><version>1.0</version>' +
        '<version>2.1-SNAPSHOT</version></versions><lastUpdated>20261121120001</lastUpdated>',
    )
  })

  test('has no release when there are only snapshots', () => {
    expect(render(['1.0-SNAPSHOT', NOON])).toContain('<versioning><latest>1.0-SNAPSHOT</latest><versions>')
  })

  test('escapes what is markup', () => {
    expect(render([`1.0&<>"'`, NOON])).toContain('<latest>1.0&amp;&lt;&gt;&#34;&#39;</latest>')
  })
})

describe('the metadata of a snapshot', () => {
  test('names the newest build and one file of each kind', () => {
    const at = (timestamp: string, build: number) => ({ timestamp, build })
    const document = renderSnapshotMetadata({
      group: 'com.acme',
      artifact: 'tiny',
      version: '2.0-SNAPSHOT',
      files: [
        { classifier: null, extension: 'jar', ...at('20261121.200011', 10) },
        { classifier: 'sources', extension: 'jar', ...at('20261122.090000', 9) },
        { classifier: null, extension: 'tar.gz', ...at('20261121.200012', 10) },
      ],
    })
    expect(document.toString()).toBe(
      `${HEADER}<metadata modelVersion="1.1.0"><groupId>com.acme</groupId><artifactId>tiny</artifactId>` +
        '<version>2.0-SNAPSHOT</version><versioning><snapshot><timestamp>20261121.200012</timestamp>' +
        '<buildNumber>10</buildNumber></snapshot><lastUpdated>20261121200012</lastUpdated><snapshotVersions>' +
        '<snapshotVersion><extension>jar</extension><value>2.0-20261121.200011-10</value>' +
        '<updated>20261121200011</updated></snapshotVersion>' +
        '<snapshotVersion><classifier>sources</classifier><extension>jar</extension>' +
        '<value>2.0-20261122.090000-9</value><updated>20261122090000</updated></snapshotVersion>' +
        '<snapshotVersion><extension>tar.gz</extension><value>2.0-20261121.200012-10</value>' +
        '<updated>20261121200012</updated></snapshotVersion></snapshotVersions></versioning></metadata>',
    )
  })
})

describe('the metadata of a group', () => {
  test('lists its plugins', () => {
    const document = renderPluginMetadata([
      { name: 'Tiny Plugin', prefix: 'tiny', artifactId: 'tiny-maven-plugin' },
      { name: null, prefix: 'b', artifactId: 'maven-b-plugin' },
    ])
    expect(document.toString()).toBe(
      `${HEADER}<metadata><plugins><plugin><name>Tiny Plugin</name><prefix>tiny</prefix>` +
        '<artifactId>tiny-maven-plugin</artifactId></plugin>' +
        '<plugin><prefix>b</prefix><artifactId>maven-b-plugin</artifactId></plugin></plugins></metadata>',
    )
  })
})

describe('metadata that is read', () => {
  test('is that of an artifact as mvn sends it', () => {
    const document = `${HEADER}<metadata>
  <groupId>com.acme</groupId>
  <artifactId>tiny</artifactId>
  <versioning>
    <release>1.0</release>
    <versions>
      <version>1.0</version>
      <version>1.1-SNAPSHOT</version>
    </versions>
    <lastUpdated>20261121200011</lastUpdated>
  </versioning>
</metadata>
`
    expect(read(document)).toEqual({
      ...NOTHING,
      groupId: 'com.acme',
      artifactId: 'tiny',
      versions: ['1.0', '1.1-SNAPSHOT'],
      lastUpdated: '20261121200011',
    })
  })

  test('is that of a snapshot', () => {
    const document = `<metadata xmlns="http://maven.apache.org/METADATA/1.1.0" modelVersion="1.1.0"><groupId>com.acme
      </groupId><version>2.0-SNAPSHOT</version><versioning><snapshot><timestamp>20261121.200011</timestamp>
      <buildNumber>12</buildNumber></snapshot></versioning></metadata>`
    expect(read(document)).toEqual({
      ...NOTHING,
      groupId: 'com.acme',
      version: '2.0-SNAPSHOT',
      snapshot: { timestamp: '20261121.200011', buildNumber: 12 },
    })
  })

  test('is that of a group; what is no plugin is passed over', () => {
    const document = `<metadata><plugins>
      <plugin><name>Tiny</name><prefix>tiny</prefix><artifactId>tiny-maven-plugin</artifactId></plugin>
      <plugin><prefix>b</prefix><artifactId>maven-b-plugin</artifactId></plugin>
      <plugin><prefix>c</prefix></plugin><plugin><artifactId>d</artifactId></plugin><plugin/><other/>
    </plugins></metadata>`
    expect(read(document).plugins).toEqual([
      { name: 'Tiny', prefix: 'tiny', artifactId: 'tiny-maven-plugin' },
      { name: null, prefix: 'b', artifactId: 'maven-b-plugin' },
    ])
  })

  test.each([
    '<metadata/>',
    '<metadata><versioning/></metadata>',
    '<metadata><versioning><versions/></versioning><plugins/></metadata>',
    '<metadata><versioning><versions><version/><version> </version></versions></versioning></metadata>',
    `<metadata><groupId>${'x'.repeat(256)}</groupId></metadata>`,
    '<metadata><versioning><snapshot><localCopy>true</localCopy></snapshot></versioning></metadata>',
    ...[
      ['20261121.200011', ''],
      ['', '1'],
      ['20261121200011', '1'],
      ['20261121.200011', '-1'],
      ['20261121.200011', '1.5'],
      ['20261121.200011', '99999999999999999999'],
      ["20261121.200011'", '1'],
    ].map(
      ([timestamp, build]) =>
        `<metadata><versioning><snapshot><timestamp>${timestamp}</timestamp><buildNumber>${build}</buildNumber>` +
        '</snapshot></versioning></metadata>',
    ),
  ])('may say nothing: %#', (document) => {
    expect(read(document)).toEqual(NOTHING)
  })

  test.each(['', 'test', '<metadata>', '<project/>', '<html/>', '<!DOCTYPE metadata><metadata/>', '{}'])(
    'is refused when it is %j',
    (document) => {
      expect(() => read(document)).toThrow(Invalid)
    },
  )
})

describe('what is rendered can be read', () => {
  /** Of characters that XML has, without blanks around, and as long as a segment of a path may be. */
  const text = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 60 })
    .map((text) => text.replace(/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, ''))
    .map((text) => text.replace(/^[ \t\r\n]+|[ \t\r\n]+$/g, ''))
    .filter((text) => text !== '')
  const markup = fc.constantFrom(
    '<a>',
    '&lt;',
    ']]>',
    '"\'',
    'a\r\nb',
    '<!--',
    '&#0;',
    '\u0085',
    '\u2028',
    '😀',
    '\ufeff',
  )
  const anything = fc.oneof(text, markup)

  test('of an artifact', () => {
    const createdAt = fc.integer({ min: 0, max: Date.UTC(2100, 0) })
    const versions = fc.array(fc.record({ version: anything, createdAt }), { minLength: 1 })
    fc.assert(
      fc.property(anything, anything, versions, (group, artifact, versions) => {
        const found = readMetadata(renderArtifactMetadata({ group, artifact, versions }))
        expect(found).toEqual({
          ...NOTHING,
          groupId: group,
          artifactId: artifact,
          versions: versions.map(({ version }) => version),
          lastUpdated: expect.stringMatching(/^\d{14}$/),
        })
      }),
    )
  })

  test('of a snapshot', () => {
    const file = fc.record({
      classifier: fc.option(anything),
      extension: anything,
      timestamp: fc.stringMatching(/^\d{8}\.\d{6}$/),
      build: fc.integer({ min: 0, max: 999_999_999 }),
    })
    fc.assert(
      fc.property(anything, anything, anything, fc.array(file, { minLength: 1 }), (group, artifact, base, files) => {
        const version = `${base}-SNAPSHOT`
        const found = readMetadata(renderSnapshotMetadata({ group, artifact, version, files }))
        const newest = files
          .map(({ build, timestamp }) => [build, timestamp] as const)
          .sort(compare)
          .at(-1)!
        const snapshot = { timestamp: newest[1], buildNumber: newest[0] }
        const lastUpdated = newest[1].replace('.', '')
        expect(found).toEqual({ ...NOTHING, groupId: group, artifactId: artifact, version, lastUpdated, snapshot })
      }),
    )
  })

  test('of a group', () => {
    const plugins = fc.array(fc.record({ name: fc.option(anything), prefix: anything, artifactId: anything }))
    fc.assert(
      fc.property(plugins, (plugins) => {
        expect(readMetadata(renderPluginMetadata(plugins))).toEqual({ ...NOTHING, plugins })
      }),
    )
  })

  test('though what XML cannot say is lost', () => {
    const plugin = { name: 'a\0b\u0001c\ud800d\uffff', prefix: 'x', artifactId: 'y' }
    expect(readMetadata(renderPluginMetadata([plugin])).plugins[0]?.name).toBe('a\ufffdb\ufffdc\ufffdd\ufffd')
  })
})

function compare([buildA, timeA]: readonly [number, string], [buildB, timeB]: readonly [number, string]): number {
  return buildA - buildB || (timeA < timeB ? -1 : 1)
}
