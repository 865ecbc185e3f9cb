/** A person or owner as the log names it for ever, whatever happens to the account. */
export interface Named {
  readonly id: number
  readonly name: string
}

/** Who acted, and from where. */
export interface AuditActor {
  /** Null: nobody in particular, or the server itself. */
  readonly user: Named | null
  /** The administrator who acted as `user`. */
  readonly sudoer: Named | null
  /** The access token used, directly or behind a registry token. */
  readonly token: Named | null
  /** Empty: the server itself. */
  readonly address: string
}

/** What was acted on; what does not apply is left out. */
export interface AuditTarget {
  readonly owner?: Named | null | undefined
  /** Of the package. */
  readonly type?: string | undefined
  readonly name?: string | undefined
  readonly version?: string | undefined
}

/** JSON without secrets. */
export type AuditDetails = Readonly<Record<string, unknown>>

/** The server, at what it does by itself. */
export const theServer: AuditActor = Object.freeze({ user: null, sudoer: null, token: null, address: '' })

/** Who runs commands on the host: the operating system knows who that is. */
export const theCommandLine: AuditActor = Object.freeze({ ...theServer, address: 'command line' })
