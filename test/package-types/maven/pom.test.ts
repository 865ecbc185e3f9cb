import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Invalid } from '../../../src/errors.ts'
import type { FilePath } from '../../../src/package-types/maven/coordinates.ts'
import { checkPom, type Pom, readPom as readProject } from '../../../src/package-types/maven/pom.ts'
import { parseXml } from '../../../src/package-types/maven/xml.ts'

const COORDINATES = '<groupId>com.acme</groupId><artifactId>tiny</artifactId><version>1.0</version>'

function readPom(bytes: Buffer): Pom {
  return readProject(parseXml(bytes))
}

function read(inner: string): Pom {
  return readPom(Buffer.from(`<project>${inner}</project>`))
}

function filePath(version: string, { group = 'com.acme', artifact = 'tiny' } = {}): FilePath {
  return { kind: 'file', group, artifact, version, filename: `${artifact}-${version}.pom` }
}

describe('a POM', () => {
  test('says what its project is', () => {
    const pom = readPom(
      Buffer.from(`<?xml version="1.0" encoding="UTF-8"?>
        <project xmlns="http://maven.apache.org/POM/4.0.0" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
            xsi:schemaLocation="http://maven.apache.org/POM/4.0.0 http://maven.apache.org/xsd/maven-4.0.0.xsd">
          <modelVersion>4.0.0</modelVersion>
          <parent><groupId>com.acme.parent</groupId><artifactId>parent</artifactId><version>7</version></parent>
          <groupId>com.acme</groupId><artifactId>tiny</artifactId><version>1.0</version>
          <packaging>maven-plugin</packaging>
          <name>Tiny &amp; small</name><description> About
            it </description><url>https://acme.example/tiny</url>
          <licenses>
            <license><name>Apache-2.0</name><url>https://apache.example</url></license>
            <license><url>https://own.example</url></license>
            <license><comments>none</comments></license>
          </licenses>
          <dependencyManagement><dependencies>
            <dependency><groupId>managed</groupId><artifactId>m</artifactId><version>0</version></dependency>
          </dependencies></dependencyManagement>
          <dependencies>
            <dependency><groupId>org.a</groupId><artifactId>a</artifactId><version>1</version></dependency>
            <dependency><groupId>junit</groupId><artifactId>junit</artifactId><scope>test</scope></dependency>
            <dependency/>
          </dependencies>
          <build><plugins><plugin><groupId>x</groupId><artifactId>x</artifactId>
            <dependencies><dependency><groupId>x</groupId></dependency></dependencies></plugin></plugins></build>
        </project>`),
    )
    expect(pom).toEqual({
      groupId: 'com.acme',
      artifactId: 'tiny',
      version: '1.0',
      packaging: 'maven-plugin',
      metadata: {
        group_id: 'com.acme',
        artifact_id: 'tiny',
        name: 'Tiny & small',
        description: 'About\n            it',
        project_url: 'https://acme.example/tiny',
        licenses: ['Apache-2.0', 'https://own.example'],
        dependencies: [
          { group_id: 'org.a', artifact_id: 'a', version: '1' },
          { group_id: 'junit', artifact_id: 'junit' },
        ],
        packaging: 'maven-plugin',
      },
    })
  })

  test('may leave nearly everything out', () => {
    expect(read('')).toEqual({
      groupId: null,
      artifactId: null,
      version: null,
      packaging: 'jar',
      metadata: { packaging: 'jar' },
    })
    expect(Object.keys(read('').metadata)).toEqual(['packaging'])
    expect(read('<licenses/><dependencies/><name/>').metadata).toEqual({ packaging: 'jar' })
  })

  test('has the group and version of its parent where it has none', () => {
    const parent = '<parent><groupId>com.acme</groupId><artifactId>parent</artifactId><version>7</version></parent>'
    expect(read(`${parent}<artifactId>tiny</artifactId>`)).toMatchObject({
      groupId: 'com.acme',
      artifactId: 'tiny',
      version: '7',
      metadata: { group_id: 'com.acme', artifact_id: 'tiny' },
    })
    expect(read(`${parent}<artifactId>tiny</artifactId><version>8</version>`).version).toBe('8')
    expect(read(parent).artifactId).toBeNull()
  })

  test.each([
    ['https://acme.example/a?b#c', 'https://acme.example/a?b#c'],
    ['http://acme.example', 'http://acme.example'],
    ['HTTPS://acme.example', 'HTTPS://acme.example'],
    ['javascript:alert(1)', undefined],
    ['data:text/html,x', undefined],
    ['ftp://acme.example', undefined],
    ['//acme.example', undefined],
    ['acme.example', undefined],
    ['https://', undefined],
    [`\${project.url}`, undefined],
  ])('with the address %s shows %s', (url, shown) => {
    expect(read(`<url>${url}</url>`).metadata.project_url).toBe(shown)
  })

  test('in ISO-8859-1 or UTF-16 is read as it declares', () => {
    const name = '<project><name>é</name></project>'
    const latin1 = Buffer.from(`<?xml version="1.0" encoding="ISO-8859-1"?>${name}`, 'latin1')
    expect(readPom(latin1).metadata.name).toBe('é')
    expect(readPom(Buffer.from(`\ufeff${name}`, 'utf16le')).metadata.name).toBe('é')
  })

  test.each([
    ['', 'cannot be read'],
    ['test', 'cannot be read'],
    ['<projekt/>', 'its root element is no project'],
    ['<html><body>404</body></html>', 'its root element is no project'],
    ['<!DOCTYPE project><project/>', 'DOCTYPE'],
    [
      '<!DOCTYPE p [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;">]><project><name>&b;</name></project>',
      'it has a DOCTYPE',
    ],
    ['<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/passwd">]><project><name>&a;</name></project>', 'it has a DOCTYPE'],
    ['<project><name>&custom;</name></project>', 'undefined entity'],
    ['<project><name></project>', 'unexpected close tag'],
  ])('is refused when it is %j', (document, message) => {
    expect(() => readPom(Buffer.from(document))).toThrow(Invalid)
    expect(() => readPom(Buffer.from(document))).toThrow(message)
  })
})

describe('a reference', () => {
  const properties = `<properties><guava.version>33.0</guava.version><other>\${guava.version}</other><e/></properties>`
  const parent = '<parent><groupId>com.parent</groupId><version>7</version></parent>'
  const shown = (text: string) => read(`${parent}${COORDINATES}${properties}<name>${text}</name>`).metadata.name

  test.each([
    [`\${project.version}`, '1.0'],
    [`\${pom.version}`, '1.0'],
    [`\${project.groupId}`, 'com.acme'],
    [`\${project.artifactId}`, 'tiny'],
    [`\${project.packaging}`, 'jar'],
    [`\${project.parent.version}`, '7'],
    [`\${project.parent.groupId}`, 'com.parent'],
    [`\${guava.version}`, '33.0'],
    [` \${guava.version} `, '33.0'],
  ])('%s that is all of a text is shown as %s', (text, value) => {
    expect(shown(text)).toBe(value)
  })

  test.each([
    `\${unknown}`,
    `\${e}`,
    `\${constructor}`,
    `\${__proto__}`,
    `Tiny \${project.version}`,
    `\${project.version}\${project.version}`,
    `\${\${other}}`,
    `\${`,
    `\${}`,
    '$',
  ])('%s is shown as it is', (text) => {
    expect(shown(text)).toBe(text)
  })

  test('is followed once', () => {
    expect(shown(`\${other}`)).toBe(`\${guava.version}`)
    expect(read(`<properties><a>\${a}</a></properties><name>\${a}</name>`).metadata.name).toBe(`\${a}`)
  })

  test('in a dependency is followed', () => {
    const dependency = `<dependency><groupId>\${project.groupId}</groupId><version>\${guava.version}</version></dependency>`
    expect(read(`${COORDINATES}${properties}<dependencies>${dependency}</dependencies>`).metadata.dependencies).toEqual(
      [{ group_id: 'com.acme', version: '33.0' }],
    )
  })

  test('in the coordinates stays, but is shown', () => {
    const pom = read(
      `<groupId>com.acme</groupId><version>\${revision}</version><properties><revision>3</revision></properties>`,
    )
    expect(pom.version).toBe(`\${revision}`)
    expect(read(`<groupId>\${g}</groupId><properties><g>com.acme</g></properties>`)).toMatchObject({
      groupId: `\${g}`,
      metadata: { group_id: 'com.acme' },
    })
  })
})

describe('what is kept is limited', () => {
  test('texts', () => {
    const { metadata } = read(`<name>${'x'.repeat(5000)}</name><description>${'x'.repeat(4095)}😀</description>`)
    expect(metadata.name).toBe('x'.repeat(4096))
    expect(metadata.description).toBe('x'.repeat(4095))
  })

  test('lists', () => {
    const licenses = (name: string, times: number) =>
      read(`<licenses>${`<license><name>${name}</name></license>`.repeat(times)}</licenses>`).metadata.licenses ?? []
    expect(licenses('MIT', 2000)).toEqual(Array(1000).fill('MIT'))
    expect(licenses('x'.repeat(4096), 100).join('').length).toBeLessThanOrEqual(256 * 1024)
    expect(licenses('x'.repeat(4096), 100).length).toBeGreaterThan(10)
  })

  test('values that are referred to', () => {
    const dependencies = `<dependency><groupId>\${a}</groupId><version>\${a}</version></dependency>`.repeat(5000)
    const document = `<properties><a>${'a'.repeat(1_000_000)}</a></properties><dependencies>${dependencies}</dependencies>`
    expect(JSON.stringify(read(document).metadata).length).toBeLessThan(300 * 1024)
  })
})

describe('the coordinates of a POM', () => {
  const check = (pom: Partial<Pom>, path: FilePath) =>
    checkPom({ groupId: null, artifactId: null, version: null, packaging: 'jar', metadata: {}, ...pom }, path)
  const tiny = { groupId: 'com.acme', artifactId: 'tiny' }

  test.each<[Partial<Pom>, string]>([
    [{ ...tiny, version: '1.0' }, '1.0'],
    [{ version: '1.0' }, '1.0'],
    [tiny, '1.0'],
    [{}, '1.0'],
    [{ ...tiny, version: `\${revision}` }, '1.0'],
    [{ ...tiny, version: `1.0\${sha1}` }, '1.0'],
    [{ groupId: `\${g}`, artifactId: `tiny_\${scala.version}` }, '1.0'],
    [{ ...tiny, version: '1.0-SNAPSHOT' }, '1.0-SNAPSHOT'],
    [{ ...tiny, version: '1.0-20261121.200011-12' }, '1.0-SNAPSHOT'],
    [{ ...tiny, version: '1.0-20261121.200011-12' }, '1.0-20261121.200011-12'],
  ])('%j fit the version %s', (pom, version) => {
    expect(() => check(pom, filePath(version))).not.toThrow()
  })

  test.each<[Partial<Pom>, string, string]>([
    [{ ...tiny, groupId: 'com.other' }, '1.0', 'the POM says groupId com.other, its path com.acme'],
    [{ ...tiny, groupId: 'com.Acme' }, '1.0', 'the POM says groupId com.Acme, its path com.acme'],
    [{ ...tiny, artifactId: 'huge' }, '1.0', 'the POM says artifactId huge, its path tiny'],
    [{ ...tiny, version: '1.0.0' }, '1.0', 'the POM says version 1.0.0, its path 1.0'],
    [{ ...tiny, version: '1.0-SNAPSHOT' }, '1.0', 'the POM says version 1.0-SNAPSHOT, its path 1.0'],
    [{ ...tiny, version: '1.0' }, '1.0-SNAPSHOT', 'the POM says version 1.0, its path 1.0-SNAPSHOT'],
    [{ ...tiny, version: '2.0-20261121.200011-12' }, '1.0-SNAPSHOT', 'the POM says version 2.0-2026'],
    [{ ...tiny, version: '1.0-20261121.200011' }, '1.0-SNAPSHOT', 'the POM says version 1.0-20261121.200011, its'],
    [{ ...tiny, version: '1.0-20261121.200011-1-x' }, '1.0-SNAPSHOT', 'the POM says version'],
    [{ ...tiny, version: '1.0-20261121.200011-12' }, '1.0', 'the POM says version'],
    [{ version: 'x'.repeat(4000) }, '1.0', `the POM says version ${'x'.repeat(60)}…, its path 1.0`],
  ])('%j contradict the version %s', (pom, version, message) => {
    expect(() => check(pom, filePath(version))).toThrow(Invalid)
    expect(() => check(pom, filePath(version))).toThrow(message)
  })

  test('are compared with the parent where it stands in', () => {
    const pom = read('<parent><groupId>com.acme</groupId><version>7</version></parent><artifactId>tiny</artifactId>')
    expect(() => checkPom(pom, filePath('7'))).not.toThrow()
    expect(() => checkPom(pom, filePath('8'))).toThrow('the POM says version 7, its path 8')
    expect(() => checkPom(pom, filePath('7', { group: 'com' }))).toThrow('the POM says groupId com.acme, its path com')
  })
})

describe('whatever a POM is', () => {
  const readsOrRefuses = (bytes: Buffer) => {
    try {
      const pom = readPom(bytes)
      expect(JSON.parse(JSON.stringify(pom))).toEqual(pom)
    } catch (error) {
      expect(error).toBeInstanceOf(Invalid)
    }
  }

  test('nothing but Invalid is thrown', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => readsOrRefuses(Buffer.from(bytes))))
  })

  test('nor for a tree of the right names', () => {
    const names = ['project', 'parent', 'groupId', 'artifactId', 'version', 'name', 'url', 'licenses', 'license']
    const name = fc.constantFrom(...names, 'dependencies', 'dependency', 'properties', 'packaging', '__proto__', 'a:b')
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(`\${project.version}`, `\${__proto__}`, 'https://a', 'x'.repeat(5000), '&oslash;', '\ud83d'),
    )
    const { tree } = fc.letrec<{ tree: string }>((tie) => ({
      tree: fc.oneof({ maxDepth: 4 }, text, fc.tuple(name, fc.array(tie('tree'), { maxLength: 4 })).map(toElement)),
    }))
    const toProject = (inner: string[]) => Buffer.from(toElement(['project', inner]))
    fc.assert(fc.property(fc.array(tree), (inner) => readsOrRefuses(toProject(inner))))
  })
})

function toElement([name, inner]: [string, string[]]): string {
  return `<${name}>${inner.join('')}</${name}>`
}
