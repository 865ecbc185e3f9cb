import type { FastifySchemaCompiler } from 'fastify'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { Value } from 'typebox/value'
import { Unprocessable } from '../errors.ts'

interface SchemaError {
  readonly keyword: string
  readonly instancePath: string
  readonly params: object
  readonly message: string
}

/**
 * Checks requests against their schemas. Numbers and booleans of the URL are read from their text; bodies are taken as
 * they are. What does not fit is Unprocessable, `[FieldName]: reason`, with Gitea's field names (rest-api.md §2).
 */
export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema, httpPart }) => {
  const validator = Compile(schema)
  return (value: unknown) => {
    const read = httpPart === 'body' ? value : Value.Convert(schema, value)
    if (validator.Check(read)) return { value: read }
    return { error: new Unprocessable(describe((validator.Errors(read) as SchemaError[])[0]!), 'body') }
  }
}

function describe({ keyword, instancePath, params, message }: SchemaError): string {
  const path = instancePath.split('/').slice(1)
  if (keyword === 'required') {
    const { requiredProperties } = params as { requiredProperties: string[] }
    return `[${formatField([...path, requiredProperties[0]!])}]: Required`
  }
  const field = formatField(path.length === 0 ? ['body'] : path)
  // The only schema of ours that nothing fits is that of additional properties.
  if (keyword === 'boolean') return `[${field}]: unknown field`
  if (keyword === 'minLength' && (params as { limit: number }).limit === 1) return `[${field}]: Required`
  if (keyword === 'pattern') return `[${field}]: has characters that are not allowed`
  if (keyword === 'enum') {
    const { allowedValues } = params as { allowedValues: unknown[] }
    return `[${field}]: must be one of ${allowedValues.map((value) => JSON.stringify(value)).join(', ')}`
  }
  return `[${field}]: ${message}`
}

/** `full_name` → `FullName`; what a client made up is cut short. */
function formatField(path: readonly string[]): string {
  const words = path.join('.').slice(0, 64)
  return words.replace(
    /(^|[_.])([a-z])/g,
    (_match, separator: string, letter: string) => `${separator === '_' ? '' : separator}${letter.toUpperCase()}`,
  )
}
