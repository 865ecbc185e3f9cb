/**
 * `attachment` with a file name that any client understands and no name can break out of (RFC 6266, RFC 8187): an
 * ASCII form with `_` for what does not fit in quotes, and the exact name percent-encoded.
 */
export function attachment(fileName: string): string {
  const ascii = fileName.replace(/[^\x20-\x7e]|["\\%]/g, '_')
  return `attachment; filename="${ascii}"; filename*=UTF-8''${encodeExtended(fileName)}`
}

// Not encodeURIComponent: it throws on a lone surrogate and leaves quotes and parentheses.
function encodeExtended(text: string): string {
  let encoded = ''
  for (const byte of Buffer.from(text, 'utf8')) {
    const character = String.fromCharCode(byte)
    encoded += /[A-Za-z0-9!#$&+.^_`|~-]/.test(character)
      ? character
      : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}
