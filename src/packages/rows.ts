import { QueryTypes, type Sequelize, type Transaction } from 'sequelize'
import type { BlobRow, FileRow, PackageRow, VersionRow } from './package-info.ts'

type Kind = 'number' | 'text' | 'flag'

/** A result of `sequelize.query` with type SELECT. */
export type Raw = Record<string, unknown>

/**
 * Reads and inserts the rows of one table as plain frozen objects. Look-ups and uploads do not go through model
 * instances: those cost twice as much (performance.md §2) and nobody here changes a row by its instance.
 */
export class RowTable<Row extends { readonly id: number }> {
  /** For a SELECT list: every column as `<alias>_<column>`. */
  readonly columns: string
  readonly #table: string
  readonly #alias: string
  readonly #fields: [field: string, result: string, kind: Kind][]
  readonly #insert: string
  readonly #insertOne: string
  readonly #inserted: string[]

  /** `alias` is the one that the table has in every statement. */
  constructor(table: string, alias: string, kinds: Record<keyof Row & string, Kind>) {
    const fields = Object.entries<Kind>(kinds).map(([field, kind]) => ({ field, kind, column: toColumn(field) }))
    this.#table = table
    this.#alias = alias
    this.#fields = fields.map(({ field, kind, column }) => [field, `${alias}_${column}`, kind])
    this.columns = fields.map(({ column }) => `${alias}.${column} AS ${alias}_${column}`).join(', ')
    const inserted = fields.filter(({ field }) => field !== 'id')
    this.#inserted = inserted.map(({ field }) => field)
    this.#insert = `INSERT INTO ${table} (${inserted.map(({ column }) => column).join(', ')}) VALUES`
    this.#insertOne = `${this.#insert} (${inserted.map((_, index) => `$${index + 1}`).join(', ')})`
  }

  /** The row in a result; null when an outer join found none. */
  read(raw: Raw): Row | null {
    if (raw[`${this.#alias}_id`] === null || raw[`${this.#alias}_id`] === undefined) return null
    const row: Raw = {}
    for (const [field, result, kind] of this.#fields) {
      const value = raw[result]
      row[field] = kind === 'number' ? Number(value) : kind === 'flag' ? Boolean(value) : value
    }
    return Object.freeze(row) as unknown as Row
  }

  /** Inserts one row and returns it with its id. */
  async insert(sequelize: Sequelize, values: Omit<Row, 'id'>, transaction: Transaction): Promise<Row> {
    const bind = this.#inserted.map((field) => (values as Raw)[field])
    const [id] = await sequelize.query(this.#insertOne, { type: QueryTypes.INSERT, bind, transaction })
    return Object.freeze({ id: Number(id), ...values }) as unknown as Row
  }

  /** Inserts many rows with one statement; their ids are for `find` to tell. */
  async insertMany(sequelize: Sequelize, rows: readonly Omit<Row, 'id'>[], transaction: Transaction): Promise<void> {
    // As text: with placeholders every number of rows would be another prepared statement.
    const values = rows.map((row) => `(${this.#inserted.map((field) => toSql(sequelize, row, field)).join(', ')})`)
    await sequelize.query(`${this.#insert} ${values.join(', ')}`, { type: QueryTypes.INSERT, transaction })
  }

  /** The rows that agree with any of `keys` in all `fields`; `suffix` ends the statement. */
  async find(
    sequelize: Sequelize,
    fields: readonly (keyof Row & string)[],
    keys: readonly Omit<Row, 'id'>[],
    suffix: string,
    transaction: Transaction,
  ): Promise<Row[]> {
    const equal = (key: Omit<Row, 'id'>) =>
      fields.map((field) => `${this.#alias}.${toColumn(field)} = ${toSql(sequelize, key, field)}`).join(' AND ')
    const found = await sequelize.query<Raw>(
      `SELECT ${this.columns} FROM ${this.#table} ${this.#alias} WHERE ${keys.map((key) => `(${equal(key)})`).join(' OR ')}${suffix}`,
      { type: QueryTypes.SELECT, transaction },
    )
    return found.map((raw) => this.read(raw)!)
  }
}

// `FROM` and `JOIN` name the tables without backticks: Sequelize asks SQLite for the columns of every quoted one.

/** `package AS p`. */
export const packageTable = new RowTable<PackageRow>('package', 'p', {
  id: 'number',
  ownerId: 'number',
  repoId: 'number',
  type: 'text',
  name: 'text',
  lowerName: 'text',
  semverCompatible: 'flag',
  isInternal: 'flag',
  isPrivate: 'flag',
})

/** `package_version AS v`. */
export const versionTable = new RowTable<VersionRow>('package_version', 'v', {
  id: 'number',
  packageId: 'number',
  creatorId: 'number',
  version: 'text',
  lowerVersion: 'text',
  createdAt: 'number',
  isInternal: 'flag',
  metadataJson: 'text',
  downloadCount: 'number',
  lastDownloadedAt: 'number',
})

/** `package_file AS f`. */
export const fileTable = new RowTable<FileRow>('package_file', 'f', {
  id: 'number',
  versionId: 'number',
  blobId: 'number',
  name: 'text',
  lowerName: 'text',
  compositeKey: 'text',
  isLead: 'flag',
  createdAt: 'number',
})

/** `package_blob AS b`. */
export const blobTable = new RowTable<BlobRow>('package_blob', 'b', {
  id: 'number',
  size: 'number',
  hashMd5: 'text',
  hashSha1: 'text',
  hashSha256: 'text',
  hashSha512: 'text',
  createdAt: 'number',
})

function toSql(sequelize: Sequelize, row: object, field: string): string {
  const value = (row as Record<string, string | number | boolean>)[field]!
  return sequelize.escape(typeof value === 'boolean' ? Number(value) : value)
}

function toColumn(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
