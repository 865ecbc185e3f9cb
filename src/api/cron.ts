import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import { pagingParameters, readPaging, setPagingHeaders } from '../http/pagination.ts'
import { formatTime, formatTimeOrNever } from '../json/time.ts'

const TaskSchema = Type.Object(
  {
    name: Type.String(),
    schedule: Type.String(),
    next: Type.String(),
    prev: Type.String(),
    exec_times: Type.Integer(),
  },
  { title: 'Cron' },
)

const forAdmins = { config: { access: 'admin', scope: 'admin' } } as const

/** What the server does by itself, and doing it now (rest-api.md §6). */
export const cron: FastifyPluginAsyncTypebox = async (app) => {
  const { schedule } = app.services

  app.get(
    '/admin/cron',
    {
      ...forAdmins,
      schema: {
        summary: 'List tasks that run by themselves',
        querystring: Type.Object(pagingParameters),
        response: { 200: Type.Array(TaskSchema) },
      },
    },
    async (request, reply) => {
      const paging = readPaging(request.query)
      const tasks = await schedule.list()
      setPagingHeaders(request, reply, paging, tasks.length)
      return tasks.slice(paging.offset, paging.offset + paging.limit).map(({ name, rhythm, next, previous, runs }) => ({
        name,
        schedule: rhythm,
        next: formatTime(next),
        prev: formatTimeOrNever(previous),
        exec_times: runs,
      }))
    },
  )

  app.post(
    '/admin/cron/:task',
    { ...forAdmins, schema: { summary: 'Run a task now', params: Type.Object({ task: Type.String() }) } },
    async (request, reply) => {
      schedule.run(request.params.task)
      return reply.code(204).send()
    },
  )
}
