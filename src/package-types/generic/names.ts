import { Invalid } from '../../errors.ts'

/** What a URL names: a file of a version of a package, each as the client spells it. */
export interface FilePath {
  readonly name: string
  readonly version: string
  readonly filename: string
}

const LONGEST = 255
// \w is ASCII in both; the brackets in the class of file names are all there are.
const NAME = /^[-_+.\w]+$/
const FILE_NAME = /^[-_+=:;.()[\]{}~!@#$%^& \w]+$/
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/

/** Throws Invalid for what cannot be uploaded (generic.md §2). Reading checks nothing: such a path is just not found. */
export function checkPath({ name, version, filename }: FilePath): void {
  if (!isName(name)) throw new Invalid('invalid package name', 'package')
  if (!isVersion(version)) throw new Invalid('invalid package version', 'version')
  if (!isFileName(filename)) throw new Invalid('invalid file name', 'file')
}

function isName(text: string): boolean {
  return text.length <= LONGEST && NAME.test(text) && text !== '..' && !/^[^A-Za-z0-9]$/.test(text)
}

function isFileName(text: string): boolean {
  return text.length <= LONGEST && FILE_NAME.test(text) && text.trim() === text && text !== '.' && text !== '..'
}

/** Any text, semver or not. What could be taken for a path or break a header is refused; Gitea takes it. */
function isVersion(text: string): boolean {
  if (text === '' || text.length > LONGEST || text.trim() !== text) return false
  return !text.includes('/') && !CONTROL.test(text) && text !== '.' && text !== '..'
}
