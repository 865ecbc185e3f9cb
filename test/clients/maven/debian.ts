import { existsSync, readdirSync } from 'node:fs'
import { hasCommand, hasFile } from '../clients.ts'

/** Where Debian's packages of Java libraries and of Maven's plugins put what they have, laid out as a repository. */
export const debianRepository = '/usr/share/maven-repo'

export type Plugin =
  | 'clean'
  | 'compiler'
  | 'dependency'
  | 'deploy'
  | 'install'
  | 'jar'
  | 'plugin'
  | 'resources'
  | 'source'
  | 'surefire'

/** What the tests build with, besides plugins that other packages bring along. */
const needed = [
  ...(
    [
      'clean',
      'compiler',
      'dependency',
      'deploy',
      'install',
      'jar',
      'plugin',
      'resources',
      'source',
      'surefire',
    ] as const
  ).map(pluginFolder),
  'org/apache/maven/surefire/surefire-junit4',
  'org/apache/commons/commons-lang3',
  'junit/junit',
]

/** Whether mvn, and what the tests build with, are there (maven.md §7). */
export function hasMaven(): boolean {
  return ['mvn', 'java'].every(hasCommand) && needed.every((folder) => hasFile(`${debianRepository}/${folder}`))
}

/** The version of a plugin that Debian has. */
export function pluginVersion(plugin: Plugin): string {
  return debianVersion(pluginFolder(plugin))
}

/** The version of what is in a folder such as `junit/junit`. Debian adds aliases: `debian`, `4.x`. */
export function debianVersion(folder: string): string {
  const artifact = folder.split('/').at(-1)
  const versions = readdirSync(`${debianRepository}/${folder}`).filter((version) => {
    const isAlias = version === 'debian' || version.endsWith('.x')
    return !isAlias && existsSync(`${debianRepository}/${folder}/${version}/${artifact}-${version}.jar`)
  })
  if (versions.length === 0) throw new Error(`there is no jar in ${folder}`)
  return versions.sort().at(-1)!
}

function pluginFolder(plugin: Plugin): string {
  return `org/apache/maven/plugins/maven-${plugin}-plugin`
}
