import type { Sequelize } from 'sequelize'
import { defineAccessToken } from './access-token.ts'
import { defineNameBinding } from './name-binding.ts'
import { definePackage } from './package.ts'
import { definePackageBlob } from './package-blob.ts'
import { definePackageBlobUpload } from './package-blob-upload.ts'
import { definePackageFile } from './package-file.ts'
import { definePackageProperty } from './package-property.ts'
import { definePackageVersion } from './package-version.ts'
import { defineSigningKey } from './signing-key.ts'
import { defineTeam } from './team.ts'
import { defineTeamUnit } from './team-unit.ts'
import { defineTeamUser } from './team-user.ts'
import { defineUpstream } from './upstream.ts'
import { defineUpstreamAttachment } from './upstream-attachment.ts'
import { defineUpstreamDigest } from './upstream-digest.ts'
import { defineUpstreamDocument } from './upstream-document.ts'
import { defineUser } from './user.ts'

/** Every table of one database. */
export type Models = ReturnType<typeof initModels>

/** Binds all models to a database. There are no foreign keys and no associations: the services keep rows consistent. */
export function initModels(sequelize: Sequelize) {
  return {
    user: defineUser(sequelize),
    team: defineTeam(sequelize),
    teamUnit: defineTeamUnit(sequelize),
    teamUser: defineTeamUser(sequelize),
    accessToken: defineAccessToken(sequelize),
    signingKey: defineSigningKey(sequelize),
    package: definePackage(sequelize),
    packageVersion: definePackageVersion(sequelize),
    packageFile: definePackageFile(sequelize),
    packageBlob: definePackageBlob(sequelize),
    packageBlobUpload: definePackageBlobUpload(sequelize),
    packageProperty: definePackageProperty(sequelize),
    upstream: defineUpstream(sequelize),
    upstreamDocument: defineUpstreamDocument(sequelize),
    upstreamDigest: defineUpstreamDigest(sequelize),
    upstreamAttachment: defineUpstreamAttachment(sequelize),
    nameBinding: defineNameBinding(sequelize),
  }
}
