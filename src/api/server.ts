import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'

/** The release of Gitea whose REST API this one follows: its SDKs refuse servers by this number. */
const GITEA_LEVEL = '1.25.0'

/** What the server is (rest-api.md §4). */
export const server: FastifyPluginAsyncTypebox = async (app) => {
  const { version } = app.services

  app.get(
    '/version',
    {
      config: { access: 'public', scope: null },
      schema: {
        summary: "Tell the release of Gitea whose API this follows, and the server's own",
        response: { 200: Type.Object({ version: Type.String() }) },
      },
    },
    async () => ({ version: `${GITEA_LEVEL}+entrepot-${version}` }),
  )
}
