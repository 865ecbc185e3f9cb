/** Whether a client takes gzip: named, or covered by `*`, with a weight above zero (RFC 9110 §12.5.3). */
export function acceptsGzip(header: string | undefined): boolean {
  if (header === undefined) return false
  let any = false
  for (const entry of header.toLowerCase().split(',')) {
    const [coding, ...parameters] = entry.split(';').map((part) => part.trim())
    if (coding !== 'gzip' && coding !== 'x-gzip' && coding !== '*') continue
    const accepted = !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter))
    if (coding !== '*') return accepted
    any = accepted
  }
  return any
}
