import { existsSync } from 'node:fs'
import { cp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type RunOptions, run, runFailing } from '../run.ts'
import { Workplace } from '../workplace.ts'
import { pluginVersion } from './debian.ts'

/** ms that a run of mvn may take; without the network's troubles it takes two seconds. */
const LIMIT = 120_000

/** How mvn signs requests to the repository of an id: by name and password, or by a header. */
export type Credentials = { username: string; password: string } | { authorization: string }

/** What `settings.xml` says. */
export interface Settings {
  /** URL of what stands for Maven Central. */
  readonly central?: string
  /** URL of what stands for every repository. */
  readonly everything?: string
  /** By the id of a repository. */
  readonly servers?: Readonly<Record<string, Credentials>>
  /** A repository that is asked besides Central, for plugins too, and the groups whose plugins have short names. */
  readonly repository?: { readonly id: string; readonly url: string }
  readonly pluginGroups?: readonly string[]
}

/** One computer with Maven on it: its settings, its local repository, nothing of the real home directory. */
export class MavenHome {
  readonly #workplace: Workplace
  readonly #name: string
  readonly #counter: { last: number }
  #settings: Settings

  private constructor(workplace: Workplace, settings: Settings, counter: { last: number }) {
    this.#workplace = workplace
    this.#settings = settings
    this.#counter = counter
    this.#name = `maven-${++counter.last}`
  }

  /** A computer whose local repository is empty. */
  static async create(settings: Settings): Promise<MavenHome> {
    const home = new MavenHome(await Workplace.create(), settings, { last: 0 })
    await home.#writeSettings()
    return home
  }

  /**
   * Another computer at the same workplace: same settings but for those given. Its local repository is empty, or
   * (`'plugins'`) has all that this one has but for what `com.*` groups publish.
   */
  async another(holding: 'nothing' | 'plugins', settings: Settings = {}): Promise<MavenHome> {
    const other = new MavenHome(this.#workplace, { ...this.#settings, ...settings }, this.#counter)
    await other.#writeSettings()
    if (holding === 'plugins') {
      await cp(this.#repository, other.#repository, { recursive: true })
      for (const group of ['acme', 'example']) await rm(other.held(`com/${group}`), { recursive: true, force: true })
    }
    return other
  }

  /** A new directory with the given files. */
  project(files: Record<string, string>): Promise<string> {
    return this.#workplace.project(files)
  }

  /** Runs mvn in a project; resolves to what it printed. */
  mvn(project: string, ...args: string[]): Promise<string> {
    return run('mvn', [...this.#arguments, ...args], this.#options(project))
  }

  /** Runs mvn, which must fail; resolves to what it printed. */
  failing(project: string, ...args: string[]): Promise<string> {
    return runFailing('mvn', [...this.#arguments, ...args], this.#options(project))
  }

  /** Fetches an artifact (`group:artifact:version[:extension[:classifier]]`) by the dependency plugin. */
  async get(artifact: string, ...args: string[]): Promise<string> {
    return this.mvn(await this.#nowhere(), ...getArguments(artifact), ...args)
  }

  /** Likewise, where it must fail. */
  async getFailing(artifact: string, ...args: string[]): Promise<string> {
    return this.failing(await this.#nowhere(), ...getArguments(artifact), ...args)
  }

  /** Where the local repository has the file of a path, if it has it. */
  held(path: string): string {
    return join(this.#repository, path)
  }

  holds(path: string): boolean {
    return existsSync(this.held(path))
  }

  read(path: string): Promise<Buffer> {
    return readFile(this.held(path))
  }

  /** Removes the workplace, with all its computers. */
  dispose(): Promise<void> {
    return this.#workplace.dispose()
  }

  get #repository(): string {
    return join(this.#workplace.directory, this.#name, 'repository')
  }

  get #arguments(): string[] {
    return ['-B', '-ntp', '-s', this.#settingsFile, `-Dmaven.repo.local=${this.#repository}`]
  }

  get #settingsFile(): string {
    return join(this.#workplace.directory, `${this.#name}.xml`)
  }

  #options(project: string): RunOptions {
    // The short life of these processes is not worth the better compiler. Java knows the home directory by itself.
    const options = `-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Duser.home=${this.#workplace.home}`
    return this.#workplace.in(project, { timeout: LIMIT }, { MAVEN_OPTS: options, MAVEN_SKIP_RC: 'true' })
  }

  /** A directory without a POM: it would be read. */
  #nowhere(): Promise<string> {
    return this.project({ 'README.txt': 'no project\n' })
  }

  async #writeSettings(): Promise<void> {
    await writeFile(this.#settingsFile, settingsXml(this.#settings), { mode: 0o600 })
  }
}

function getArguments(artifact: string): string[] {
  return [
    `org.apache.maven.plugins:maven-dependency-plugin:${pluginVersion('dependency')}:get`,
    `-Dartifact=${artifact}`,
    '-Dtransitive=false',
  ]
}

function settingsXml({ central, everything, servers = {}, repository, pluginGroups = [] }: Settings): string {
  const mirrorOf = everything === undefined ? 'central' : '*'
  const repositories = repository && [
    `<id>${repository.id}</id><url>${repository.url}</url><snapshots><enabled>true</enabled></snapshots>`,
  ]
  return [
    '<settings>',
    `<mirrors><mirror><id>mirror</id><mirrorOf>${mirrorOf}</mirrorOf><url>${everything ?? central}</url></mirror></mirrors>`,
    `<servers>${Object.entries(servers)
      .map(([id, credentials]) => serverXml(id, credentials))
      .join('')}</servers>`,
    `<pluginGroups>${pluginGroups.map((group) => `<pluginGroup>${group}</pluginGroup>`).join('')}</pluginGroups>`,
    ...(repositories
      ? [
          '<profiles><profile><id>more</id>',
          `<repositories><repository>${repositories}</repository></repositories>`,
          `<pluginRepositories><pluginRepository>${repositories}</pluginRepository></pluginRepositories>`,
          '</profile></profiles><activeProfiles><activeProfile>more</activeProfile></activeProfiles>',
        ]
      : []),
    '</settings>',
  ].join('\n')
}

function serverXml(id: string, credentials: Credentials): string {
  const by =
    'username' in credentials
      ? `<username>${credentials.username}</username><password>${credentials.password}</password>`
      : `<configuration><httpHeaders><property><name>Authorization</name><value>${credentials.authorization}</value></property></httpHeaders></configuration>`
  return `<server><id>${id}</id>${by}</server>`
}
