import type { QueryInterface } from 'sequelize'

/**
 * The same, but columns and indexes that are there already are not added again, as Sequelize has it for tables: a
 * migration that was killed in the middle runs from its start the next time.
 */
export function repeatable(queryInterface: QueryInterface): QueryInterface {
  const addColumn = async (table: string, column: string, ...rest: [never]) => {
    if (!Object.hasOwn(await queryInterface.describeTable(table), column)) {
      await queryInterface.addColumn(table, column, ...rest)
    }
  }
  const addIndex = async (table: string, columns: string[], ...rest: [never]) => {
    if (!(await hasIndex(queryInterface, table, columns))) await queryInterface.addIndex(table, columns, ...rest)
  }
  return Object.assign(Object.create(queryInterface) as QueryInterface, { addColumn, addIndex })
}

async function hasIndex(queryInterface: QueryInterface, table: string, columns: string[]): Promise<boolean> {
  const indexes = (await queryInterface.showIndex(table)) as { fields: { attribute: string }[] }[]
  const wanted = columns.join()
  return indexes.some(({ fields }) => fields.map(({ attribute }) => attribute).join() === wanted)
}
