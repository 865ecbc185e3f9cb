import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { TokenName } from '../api/schemas.ts'
import { limitFields, readExpiry, readRestriction } from '../api/token-restrictions.ts'
import { theCommandLine } from '../audit/entry.ts'
import { Scopes } from '../auth/scopes.ts'
import { formatTime } from '../json/time.ts'
import type { Command, CommandInput } from './command.ts'
import { withServices } from './start.ts'
import { CommandError } from './terminal.ts'
import { findUser } from './user.ts'

const LimitFieldsSchema = Type.Object(limitFields)
type LimitFields = Type.Static<typeof LimitFieldsSchema>

/** What `POST /users/{username}/tokens` does, without a password. */
export const createToken: Command = {
  name: 'token create',
  summary: 'Make an access token for a user and print its secret.',
  operands: ['USER'],
  options: {
    name: { value: 'NAME', help: 'what the user calls it; must be given, and be new for that user' },
    scopes: { value: 'LIST', help: 'what it may do, comma-separated; must be given' },
    'expires-at': {
      value: 'TIME',
      help: 'when it ends, e.g. 2030-12-31T00:00:00Z; without it as auth.maxTokenLifetime says',
    },
    owners: { value: 'LIST', help: 'only packages of these owners, comma-separated' },
    types: { value: 'LIST', help: 'only packages of these types, comma-separated: npm,maven' },
    packages: { value: 'LIST', help: 'only these packages, comma-separated: OWNER/TYPE/NAME; * in NAME is any text' },
  },
  help: `The secret, alone, goes to standard output; it is not kept and cannot be shown again. Works beside a running
server, which accepts the token at once.

Scopes are read:X and write:X, where X is activitypub, admin, issue, misc, notification, organization, package,
repository or user; writing implies reading. \`all\` are all of them, \`public-only\` besides others keeps the token to
public owners. For publishing write:package is enough, for installing read:package.

Where several restrictions are given a package must meet all of them. A token that is restricted can do nothing but
use packages.

  TOKEN=$(entrepot token create ci --name runner-7 --scopes write:package)
  entrepot token create ci --name app --scopes write:package --packages 'acme/npm/*' --expires-at 2030-12-31T00:00:00Z`,
  run: async (input, terminal) => {
    const name = input.required('name')
    const scopes = Scopes.parse([input.required('scopes')])
    if (!Value.Check(TokenName, name)) {
      throw new CommandError('the name of a token has 1 to 255 characters, and no control characters')
    }
    const fields = readLimits(input)
    return withServices(terminal, async (services) => {
      const user = await findUser(services, input.operands[0]!)
      const restriction = await readRestriction(services, null, fields)
      const limits = { restriction, expiresAt: readExpiry(services, fields) }
      const { row, secret } = await services.accessTokens.create(user, name, scopes, limits)
      const to = {
        scopes: scopes.toList(),
        expires_at: row.expiresAt === null ? null : formatTime(row.expiresAt),
        restrictions: restriction?.toLists() ?? null,
      }
      services.audit.record(theCommandLine, 'token.created', { owner: user, name }, { id: row.id, to })
      const end = to.expires_at === null ? '' : `, until ${to.expires_at}`
      terminal.stderr.write(`Made the token ${name} of ${user.name}: ${to.scopes.join(', ')}${end}.\n`)
      terminal.stdout.write(`${secret}\n`)
      return 0
    })
  },
}

/** The fields of the REST API that the options stand for. Throws CommandError for what these could not be. */
function readLimits(input: CommandInput): LimitFields {
  const listOf = (option: string) =>
    input
      .value(option)
      ?.split(',')
      .map((item) => item.trim())
  const packages = listOf('packages')?.map((item) => {
    const [, owner, type, name] = /^([^/]+)\/([^/]+)\/(.+)$/.exec(item) ?? []
    if (name === undefined) throw new CommandError(`--packages: ${JSON.stringify(item)} is not OWNER/TYPE/NAME`)
    return { owner, type, name }
  })
  const lists = { owners: listOf('owners'), types: listOf('types'), packages }
  const restrictions = Object.fromEntries(Object.entries(lists).filter(([, list]) => list !== undefined))
  const fields = {
    expires_at: input.value('expires-at') ?? null,
    restrictions: Object.keys(restrictions).length === 0 ? null : restrictions,
  }
  if (Value.Check(LimitFieldsSchema, fields)) return fields
  const [error] = Value.Errors(LimitFieldsSchema, fields)
  throw new CommandError(`--expires-at, --owners, --types or --packages: ${error?.message ?? 'not understood'}`)
}
