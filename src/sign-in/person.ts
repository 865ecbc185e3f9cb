import { Forbidden } from '../errors.ts'
import type { ProviderSettings } from './provider-settings.ts'

/** What an identity provider says of somebody; any claim may be anything. */
export type Claims = Readonly<Record<string, unknown>>

/** Somebody who has signed in at an identity provider. */
export interface Person {
  /** Printable ASCII, at most 255 (OpenID Connect Core §2). */
  readonly subject: string
  /** What the provider calls him; nothing that can be relied on. */
  readonly name: string
  /** At most 100 characters, none of them a control character. */
  readonly fullName: string
  /** Empty: none that the provider vouches for. */
  readonly email: string
  readonly groups: ReadonlySet<string>
}

const LONGEST_NAME = 1_000
const LONGEST_FULL_NAME = 100
/** No space at the ends: MariaDB takes texts that differ in those for the same. */
const SUBJECT = /^[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?$/

/** Whether it can be the `sub` of anybody. */
export function isSubject(text: unknown): text is string {
  return typeof text === 'string' && SUBJECT.test(text)
}

/** Reads claims. Without a claim for groups somebody is in none. Forbidden when there is no usable `sub`. */
export function readPerson(claims: Claims, { title, nameClaim, groupsClaim }: ProviderSettings): Person {
  const { sub, name, email, email_verified: isVerified } = claims
  if (!isSubject(sub)) throw new Forbidden(`${title} did not say who you are`, 'user')
  const groups = claims[groupsClaim]
  return {
    subject: sub,
    name: text(claims[nameClaim], LONGEST_NAME),
    fullName: text(name, LONGEST_FULL_NAME),
    email: isVerified === false ? '' : text(email, LONGEST_NAME),
    groups: new Set([groups].flat().filter((group) => typeof group === 'string')),
  }
}

/**
 * A name that an account could have, made of what a provider calls somebody: the part before an @, other letters as
 * their plain ones, the rest as `-`. Empty when nothing is left. Whether it is free or reserved is not looked at.
 */
export function toAccountName(name: string): string {
  return name
    .replace(/@.*$/s, '')
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .replace(/[^0-9a-zA-Z._-]+/g, '-')
    .replace(/[-._]{2,}/g, (run) => run[0]!)
    .replace(/^[-._]+/, '')
    .slice(0, 40)
    .replace(/[-._]+$/, '')
}

function text(value: unknown, longest: number): string {
  if (typeof value !== 'string') return ''
  return [...value.slice(0, 2 * longest).replace(/[\p{Cc}\p{Cs}]/gu, ' ')].slice(0, longest).join('').trim()
}
