/** Markup that is safe to send: only `html` makes it. */
export class Html {
  readonly text: string

  /** `text` is taken as it is. */
  constructor(text: string) {
    this.text = text
  }
}

/** What may stand in a template; texts and numbers are escaped, null is nothing. */
export type HtmlValue = string | number | Html | readonly Html[] | null

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** Markup with values in it: between tags, or in an attribute with quotes around it (security.md S44). */
export function html(strings: TemplateStringsArray, ...values: readonly HtmlValue[]): Html {
  return new Html(strings.reduce((text, part, index) => `${text}${toText(values[index - 1] ?? null)}${part}`))
}

function toText(value: HtmlValue): string {
  if (value === null) return ''
  if (value instanceof Html) return value.text
  if (typeof value === 'object') return value.map((part) => part.text).join('')
  return String(value).replace(/[&<>"']/g, (character) => ESCAPES[character]!)
}
