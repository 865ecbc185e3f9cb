import { Value } from 'typebox/value'
import { TokenName } from '../api/schemas.ts'
import { Scopes } from '../auth/scopes.ts'
import type { Command } from './command.ts'
import { withServices } from './start.ts'
import { CommandError } from './terminal.ts'
import { findUser } from './user.ts'

/** What `POST /users/{username}/tokens` does, without a password. */
export const createToken: Command = {
  name: 'token create',
  summary: 'Make an access token for a user and print its secret.',
  operands: ['USER'],
  options: {
    name: { value: 'NAME', help: 'what the user calls it; must be given, and be new for that user' },
    scopes: { value: 'LIST', help: 'what it may do, comma-separated; must be given' },
  },
  help: `The secret, alone, goes to standard output; it is not kept and cannot be shown again. Works beside a running
server, which accepts the token at once.

Scopes are read:X and write:X, where X is activitypub, admin, issue, misc, notification, organization, package,
repository or user; writing implies reading. \`all\` are all of them, \`public-only\` besides others keeps the token to
public owners. For publishing write:package is enough, for installing read:package.

  TOKEN=$(entrepot token create ci --name runner-7 --scopes write:package)`,
  run: async (input, terminal) => {
    const name = input.required('name')
    const scopes = Scopes.parse([input.required('scopes')])
    if (!Value.Check(TokenName, name)) {
      throw new CommandError('the name of a token has 1 to 255 characters, and no control characters')
    }
    return withServices(terminal, async (services) => {
      const user = await findUser(services, input.operands[0]!)
      const { secret } = await services.accessTokens.create(user, name, scopes)
      terminal.stderr.write(`Made the token ${name} of ${user.name}: ${scopes.toList().join(', ')}.\n`)
      terminal.stdout.write(`${secret}\n`)
      return 0
    })
  },
}
