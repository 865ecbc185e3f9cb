import { type Static, type TSchema, Type } from '@fastify/type-provider-typebox'
import type { ClientReport } from '../upstream/client.ts'
import { RestUpstream } from '../upstream/rest-upstream.ts'
import { body, optional, text } from './schemas.ts'

const Mode = Type.Enum(['online', 'offline', 'blocked'])
const { type: _type, owner: _owner, ...changeable } = RestUpstream.properties
const confirmation = { confirm_exposes_credentials: optional(Type.Boolean()) }

/** Body that switches an upstream. */
export const ModeBody = body({ mode: Mode })

/** Which package is meant; all without one. */
export const PackageBody = optional(body({ name: optional(text(512, 1)) }))

/** The keys of an upstream's file, with secrets in place of the names of variables. */
export const CreateUpstreamBody = body(
  { name: text(64, 1), ...RestUpstream.properties, ...confirmation },
  { title: 'CreateUpstreamOption' },
)

/** What is changed; null: as if it had never been given. */
export const EditUpstreamBody = body(
  { ...(orNull(changeable) as Nullable<typeof changeable>), ...confirmation },
  { title: 'EditUpstreamOption' },
)

/** An upstream that is not there yet, and the package to try it by. */
export const TryUpstreamBody = body(
  { ...RestUpstream.properties, package: optional(text(512, 1)) },
  { title: 'TryUpstreamOption' },
)

/** The package to try an upstream by. */
export const TryBody = optional(body({ package: optional(text(512, 1)) }))

const Settings = Type.Object({
  aliases: Type.Array(Type.String()),
  serves: Type.Array(Type.String()),
  hosts: Type.Array(Type.String()),
  artifactHosts: Type.Array(Type.String()),
  allowPrivateNetwork: Type.Boolean(),
  fresh: Type.Union([Type.String(), Type.Null()]),
  capBytes: Type.Union([Type.Integer(), Type.Null()]),
  unusedDays: Type.Integer(),
  trust: Type.String(),
  visibility: Type.String(),
  options: Type.Record(Type.String(), Type.Unknown()),
  auth: Type.Union([
    Type.Object({
      kind: Type.String(),
      username: Type.Optional(Type.String()),
      hasSecret: Type.Boolean(),
      realmHosts: Type.Array(Type.String()),
    }),
    Type.Null(),
  ]),
  network: Type.Union([
    Type.Object({ proxy: Type.String(), hasClientCertificate: Type.Boolean(), insecureTls: Type.Boolean() }),
    Type.Null(),
  ]),
})

/** See UpstreamState. */
export const UpstreamSchema = Type.Object(
  {
    name: Type.String(),
    type: Type.String(),
    owner: Type.String(),
    url: Type.String(),
    mode: Mode,
    origin: Type.Enum(['file', 'rest']),
    problem: Type.Union([Type.String(), Type.Null()]),
    origins: Type.Array(Type.Object({ origin: Type.String(), state: Type.String() })),
    settings: Type.Union([Settings, Type.Null()]),
  },
  { title: 'Upstream' },
)

const Time = Type.Union([Type.String({ format: 'date-time' }), Type.Null()])

/** See ClientReport. */
export const HealthSchema = Type.Object(
  {
    credentialsRefused: Type.Boolean(),
    origins: Type.Array(
      Type.Object({
        origin: Type.String(),
        state: Type.String(),
        openUntil: Time,
        rateLimitedUntil: Time,
        isScarce: Type.Boolean(),
        lastError: Type.Union([
          Type.Object({ at: Type.String({ format: 'date-time' }), message: Type.String() }),
          Type.Null(),
        ]),
      }),
    ),
  },
  { title: 'UpstreamHealth' },
)

/** As HealthSchema has it. */
export function renderHealth({ areCredentialsRefused, origins }: ClientReport): Static<typeof HealthSchema> {
  const render = (time: number | null) => (time === null ? null : new Date(time).toISOString())
  return {
    credentialsRefused: areCredentialsRefused,
    origins: origins.map(({ origin, state, openUntil, rateLimitedUntil, isScarce, lastError }) => ({
      ...{ origin, state, isScarce, openUntil: render(openUntil), rateLimitedUntil: render(rateLimitedUntil) },
      lastError: lastError && { at: new Date(lastError.at).toISOString(), message: lastError.message },
    })),
  }
}

/** See Trial. */
export const TrialSchema = Type.Object(
  {
    ok: Type.Boolean(),
    error: Type.Union([Type.String(), Type.Null()]),
    status: Type.Union([Type.Integer(), Type.Null()]),
    ms: Type.Integer(),
    redirectedTo: Type.Union([Type.String(), Type.Null()]),
    hostsToAllow: Type.Array(Type.String()),
  },
  { title: 'UpstreamTrial' },
)

type Nullable<T extends Record<string, TSchema>> = { [K in keyof T]: ReturnType<typeof optional<T[K]>> }

function orNull(properties: Record<string, TSchema>): Record<string, TSchema> {
  return Object.fromEntries(Object.entries(properties).map(([key, schema]) => [key, optional(schema)]))
}
