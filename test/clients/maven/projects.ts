import { pluginVersion } from './debian.ts'

/** `group:artifact:version[:scope]`; the version may be a range. */
export type Dependency = string

export interface ProjectOptions {
  readonly artifact: string
  readonly version: string
  /** `com.acme` unless told. */
  readonly group?: string
  readonly packaging?: 'jar' | 'maven-plugin'
  readonly dependencies?: readonly Dependency[]
  /** URL of the repository that the project is deployed to and reads from, by the id `acme`. */
  readonly repository?: string
  /** Whether a jar of the sources, and one with the classifier `extra`, are attached; not unless told. */
  readonly attached?: boolean
}

/** A project that mvn can build with the plugins that Debian has: its POM. */
export function pom(options: ProjectOptions): string {
  const { artifact, version, group = 'com.acme', packaging = 'jar', dependencies = [], repository, attached } = options
  const at = `<id>acme</id><url>${repository}</url>`
  return `<?xml version="1.0" encoding="UTF-8"?>
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>${group}</groupId>
  <artifactId>${artifact}</artifactId>
  <version>${version}</version>
  <packaging>${packaging}</packaging>
  <name>${artifact} – naïve</name>
  <properties>
    <maven.compiler.release>11</maven.compiler.release>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  ${
    repository === undefined
      ? ''
      : `<repositories><repository>${at}<snapshots><updatePolicy>always</updatePolicy></snapshots></repository></repositories>
  <distributionManagement><repository>${at}</repository></distributionManagement>`
  }
  <dependencies>${dependencies.map(dependencyXml).join('')}</dependencies>
  <build>
    <pluginManagement><plugins>
      ${managed.map((plugin) => pluginXml(plugin)).join('\n      ')}
      <!-- Its own process would wait for a sign of life of this one for ten seconds. -->
      ${pluginXml('surefire', '<configuration><forkCount>0</forkCount></configuration>')}
    </plugins></pluginManagement>
    ${attached ? `<plugins>${sources}${extra}</plugins>` : ''}
  </build>
</project>
`
}

/** A project with one class, `NAME.Main`, that prints a text; `expression` is Java. */
export function javaProject(options: ProjectOptions, expression: string): Record<string, string> {
  const name = options.artifact.replaceAll('-', '_')
  return {
    'pom.xml': pom(options),
    [`src/main/java/${name}/Main.java`]: `package ${name};
public class Main {
  public static String text() { return ${expression}; }
  public static void main(String[] arguments) { System.out.print(text()); }
}
`,
  }
}

const managed = ['clean', 'compiler', 'deploy', 'install', 'jar', 'plugin', 'resources', 'source'] as const

const sources = `<plugin><artifactId>maven-source-plugin</artifactId>
      <executions><execution><goals><goal>jar-no-fork</goal></goals></execution></executions></plugin>`

const extra = `<plugin><artifactId>maven-jar-plugin</artifactId>
      <executions><execution><id>extra</id><goals><goal>jar</goal></goals><phase>package</phase>
        <configuration><classifier>extra</classifier></configuration></execution></executions></plugin>`

function pluginXml(plugin: Parameters<typeof pluginVersion>[0], more = ''): string {
  return `<plugin><artifactId>maven-${plugin}-plugin</artifactId><version>${pluginVersion(plugin)}</version>${more}</plugin>`
}

function dependencyXml(dependency: Dependency): string {
  const [group, artifact, version, scope = 'compile'] = dependency.split(':')
  return `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version><scope>${scope}</scope></dependency>`
}
