import type { QueryInterface } from 'sequelize'

/** Finds what is due for one hook, however much waits for it and for others. */
export async function up(queryInterface: QueryInterface): Promise<void> {
  await queryInterface.addIndex('hook_task', ['hook_id', 'status', 'next_attempt_at'])
}
