import { Scopes } from '../auth/scopes.ts'
import { Invalid } from '../errors.ts'
import { type Html, html } from './html.ts'

/** What somebody wants of his token. */
export interface TokenWish {
  readonly name: string
  readonly scopes: Scopes
  /** ms. */
  readonly lifetime: number
}

const DAY = 86_400_000
const HOUR = 3_600_000
const USUAL = 30 * DAY
const LIFETIMES = [1, 7, 30, 90, 365].map((days) => days * DAY)
const LONGEST_NAME = 255
const RIGHTS: Readonly<Record<string, { readonly label: string; readonly scope: string }>> = {
  read: { label: 'Read packages', scope: 'read:package' },
  write: { label: 'Read and write packages', scope: 'write:package' },
  all: { label: 'Everything that my account may do', scope: 'all' },
}

/** A form for a token; `maxLifetime` ms is what the site permits, 0: anything. `error`: why it is shown again. */
export function tokenForm(action: string, name: string, maxLifetime: number, error: string | null): Html {
  const lifetimes = permitted(maxLifetime)
  const chosen = lifetimes.filter((ms) => ms <= USUAL).at(-1) ?? lifetimes[0]!
  const rights = Object.entries(RIGHTS).map(
    ([value, { label }]) => html`<option value="${value}"${mark(value === 'write')}>${label}</option>`,
  )
  const days = lifetimes.map((ms) => html`<option value="${ms}"${mark(ms === chosen)}>${format(ms)}</option>`)
  return html`${error === null ? null : html`<p class="error">${error}</p>`}
<form method="post" action="${action}">
<label>Name <input name="name" value="${name}" maxlength="${LONGEST_NAME}" required></label>
<label>May <select name="rights">${rights}</select></label>
<label>Valid for <select name="lifetime">${days}</select></label>
<button>Make an access token</button>
</form>`
}

/** Reads what was sent. Invalid for a field that the form does not have, or has twice, and for what it does not offer. */
export function readTokenForm(body: string, maxLifetime: number): TokenWish {
  const fields = [...new URLSearchParams(body)]
  const names = fields.map(([field]) => field).sort()
  if (names.join() !== 'lifetime,name,rights') throw new Invalid('the form is not complete', 'body')
  const { name = '', rights = '', lifetime = '' } = Object.fromEntries(fields)
  const trimmed = name.trim()
  if (trimmed === '' || trimmed.length > LONGEST_NAME || /\p{Cc}/u.test(trimmed)) {
    throw new Invalid('a token needs a name of up to 255 characters', 'token')
  }
  const right = Object.hasOwn(RIGHTS, rights) ? RIGHTS[rights]! : null
  const ms = permitted(maxLifetime).find((offered) => String(offered) === lifetime)
  if (right === null || ms === undefined) throw new Invalid('the form does not offer this', 'body')
  return { name: trimmed, scopes: Scopes.parse([right.scope]), lifetime: ms }
}

function permitted(maxLifetime: number): readonly number[] {
  if (maxLifetime === 0) return LIFETIMES
  return [...LIFETIMES.filter((ms) => ms < maxLifetime), maxLifetime]
}

function format(ms: number): string {
  const [count, unit] = ms >= DAY ? [ms / DAY, 'day'] : [ms / HOUR, 'hour']
  const shown = Math.floor(count * 10) / 10
  return `${shown} ${unit}${shown === 1 ? '' : 's'}`
}

function mark(isChosen: boolean): Html | null {
  return isChosen ? html` selected` : null
}
