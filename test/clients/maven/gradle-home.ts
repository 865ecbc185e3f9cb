import { join } from 'node:path'
import { run, runFailing } from '../run.ts'
import { Workplace } from '../workplace.ts'

/** ms that a run of gradle may take. */
const LIMIT = 120_000

/** A computer with Debian's Gradle on it, which resolves but cannot publish (maven.md §7). */
export class GradleHome {
  readonly #workplace: Workplace

  private constructor(workplace: Workplace) {
    this.#workplace = workplace
  }

  static async create(): Promise<GradleHome> {
    return new GradleHome(await Workplace.create())
  }

  /** A project that resolves dependencies (`group:artifact:version`) from repositories, without building anything. */
  project(repositories: readonly string[], dependencies: readonly string[]): Promise<string> {
    const lines = [
      `repositories { ${repositories.map((repository) => `maven { ${repository} }`).join('\n')} }`,
      'configurations { libs { resolutionStrategy.cacheDynamicVersionsFor 0, "seconds" } }',
      `dependencies { ${dependencies.map((dependency) => `libs '${dependency}'`).join('\n')} }`,
      "task resolve { doLast { configurations.libs.files.each { println 'FILE ' + it } } }",
    ]
    return this.#workplace.project({ 'build.gradle': `${lines.join('\n')}\n` })
  }

  /** Resolves a project; resolves to the paths of the files, in the cache. */
  async resolve(project: string, ...args: string[]): Promise<string[]> {
    const printed = await run('gradle', [...this.#arguments, 'resolve', ...args], this.#options(project))
    return [...printed.matchAll(/^FILE (.*)$/gm)].map(([, path]) => path!)
  }

  /** Likewise, where it must fail; resolves to what it printed. */
  failing(project: string): Promise<string> {
    return runFailing('gradle', [...this.#arguments, 'resolve'], this.#options(project))
  }

  dispose(): Promise<void> {
    return this.#workplace.dispose()
  }

  get #arguments(): string[] {
    return ['--no-daemon', '--quiet', '--gradle-user-home', join(this.#workplace.caches, 'gradle')]
  }

  #options(cwd: string): ReturnType<Workplace['in']> {
    const options = `-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Duser.home=${this.#workplace.home}`
    return this.#workplace.in(cwd, { timeout: LIMIT }, { GRADLE_OPTS: options })
  }
}
