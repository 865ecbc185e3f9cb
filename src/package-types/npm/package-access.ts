import { Invalid } from '../../errors.ts'
import { isObject } from './metadata.ts'

/**
 * Whether `access` makes a package private (`restricted`), or leaves it as visible as its owner (`public`); null: it says
 * nothing. Invalid for any other value: what somebody means to restrict must not become public by a typing error.
 */
export function readAccess(document: unknown): boolean | null {
  const access = isObject(document) ? document['access'] : undefined
  if (access === undefined || access === null) return null
  if (access !== 'public' && access !== 'restricted') throw new Invalid('access is public or restricted', 'package')
  return access === 'restricted'
}
