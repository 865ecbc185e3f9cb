import { theCommandLine } from '../audit/entry.ts'
import { isBlocked, type Owner } from '../auth/owner.ts'
import { NotFound } from '../errors.ts'
import type { Services } from '../services.ts'
import type { Command } from './command.ts'
import { explainingPasswords, passwordOptions, readPassword, requirePasswordSource } from './password-input.ts'
import { withServices } from './start.ts'

/** Also before the first start: then it makes the database, and the server draws no administrator. */
export const createUser: Command = {
  name: 'user create',
  summary: 'Create a user; with --admin also before the first start of the server.',
  operands: ['NAME'],
  options: {
    email: { value: 'ADDRESS', help: 'e-mail address; must be given, and be nobody else’s' },
    admin: { help: 'make an administrator' },
    ...passwordOptions,
  },
  help: `Names, addresses and passwords follow the same rules as over REST. Works beside a running server.

  entrepot user create alice --email alice@example.org --random-password
  entrepot user create root --email root@example.org --admin --password-stdin < password-file`,
  run: async (input, terminal) => {
    const username = input.operands[0]!
    const email = input.required('email')
    const source = requirePasswordSource(input)
    const isAdmin = input.has('admin')
    const mustChangePassword = input.has('must-change-password')
    return withServices(terminal, async ({ accounts, audit, config }) => {
      const { minPasswordLength } = config.auth
      const password = await readPassword(source, terminal, minPasswordLength)
      const user = { username, email, password, isAdmin, mustChangePassword }
      const owner = await explainingPasswords(minPasswordLength, accounts.createUser(user))
      const { name } = owner
      audit.record(theCommandLine, 'user.created', { owner }, { to: { admin: isAdmin } })
      terminal.stderr.write(`Created the ${isAdmin ? 'administrator' : 'user'} ${name}.\n`)
      if (source === 'random') terminal.stdout.write(`${password}\n`)
      return 0
    })
  },
}

/** For who is locked out; access tokens stay as they are. */
export const resetPassword: Command = {
  name: 'user reset-password',
  summary: 'Give a user another password.',
  operands: ['NAME'],
  options: {
    'disable-otp': { help: 'from now on the password is enough: no one-time codes (two-factor authentication)' },
    ...passwordOptions,
  },
  help: `Sessions of \`docker login\` that were made with the old password end with it; access tokens stay valid, revoke them
over REST. Without --must-change-password the user may go on at once, also if the password had to be changed. Who
signs in with two factors goes on to need one-time codes, unless --disable-otp is given: for who has lost the phone and
the recovery codes.

Works beside a running server. With Redis configured it counts at once; a server without Redis believes the old
password for up to 30 s more, unless it is restarted.`,
  run: async (input, terminal) => {
    const source = requirePasswordSource(input)
    return withServices(terminal, async (services) => {
      const { minPasswordLength } = services.config.auth
      const user = await findUser(services, input.operands[0]!)
      const password = await readPassword(source, terminal, minPasswordLength)
      const changes = { password, mustChangePassword: input.has('must-change-password') }
      await explainingPasswords(minPasswordLength, services.accounts.updateUser(user, changes))
      services.audit.record(theCommandLine, 'user.updated', { owner: user }, { fields: ['password'] })
      terminal.stderr.write(`${user.name} has another password.\n`)
      if (input.has('disable-otp')) {
        const isDisabled = await services.twoFactor.remove(user.id, { hasCode: true })
        if (isDisabled) services.audit.record(theCommandLine, 'two-factor.disabled', { owner: user })
        terminal.stderr.write(
          `${user.name} ${isDisabled ? 'needs no one-time codes any more' : 'needed no one-time codes'}.\n`,
        )
      } else if ((await services.twoFactor.confirmedAt(user.id)) !== null) {
        terminal.stderr.write(`${user.name} goes on to need one-time codes; --disable-otp ends that.\n`)
      }
      if (isBlocked(user)) terminal.stderr.write(`${user.name} still may not sign in: the account is blocked.\n`)
      if (services.config.redis.url === '') {
        terminal.stderr.write(
          'A server that runs now believes the old one for up to 30 s more; restart it to end that.\n',
        )
      }
      if (source === 'random') terminal.stdout.write(`${password}\n`)
      return 0
    })
  },
}

/** The user of that name, in any case. NotFound, also for organizations and mirrors. */
export async function findUser({ accounts }: Services, name: string): Promise<Owner> {
  const user = await accounts.find(name)
  if (user?.kind !== 'user') throw new NotFound('user', name)
  return user
}
