import type { Sequelize } from 'sequelize'
import { defineAccessToken } from './access-token.ts'
import { defineAccountRedirect } from './account-redirect.ts'
import { defineAuditEvent } from './audit-event.ts'
import { defineExternalIdentity } from './external-identity.ts'
import { defineHookTask } from './hook-task.ts'
import { defineJobRun } from './job-run.ts'
import { defineNameBinding } from './name-binding.ts'
import { defineOwnerQuota } from './owner-quota.ts'
import { definePackage } from './package.ts'
import { definePackageBlob } from './package-blob.ts'
import { definePackageBlobUpload } from './package-blob-upload.ts'
import { definePackageCleanupRule } from './package-cleanup-rule.ts'
import { definePackageFile } from './package-file.ts'
import { definePackageProperty } from './package-property.ts'
import { definePackageRule } from './package-rule.ts'
import { definePackageVersion } from './package-version.ts'
import { definePublicMember } from './public-member.ts'
import { defineRepository } from './repository.ts'
import { defineReservedName } from './reserved-name.ts'
import { defineSignInTicket } from './sign-in-ticket.ts'
import { defineSigningKey } from './signing-key.ts'
import { defineTeam } from './team.ts'
import { defineTeamRepository } from './team-repository.ts'
import { defineTeamUnit } from './team-unit.ts'
import { defineTeamUser } from './team-user.ts'
import { defineTrustedPublisher } from './trusted-publisher.ts'
import { defineTwoFactor } from './two-factor.ts'
import { defineUpstream } from './upstream.ts'
import { defineUpstreamAttachment } from './upstream-attachment.ts'
import { defineUpstreamDigest } from './upstream-digest.ts'
import { defineUpstreamDocument } from './upstream-document.ts'
import { defineUpstreamPin } from './upstream-pin.ts'
import { defineUpstreamTag } from './upstream-tag.ts'
import { defineUpstreamVersion } from './upstream-version.ts'
import { defineUsedIdToken } from './used-id-token.ts'
import { defineUser } from './user.ts'
import { defineWebhook } from './webhook.ts'

/** Every table of one database. */
export type Models = ReturnType<typeof initModels>

/** Binds all models to a database. There are no foreign keys and no associations: the services keep rows consistent. */
export function initModels(sequelize: Sequelize) {
  return {
    user: defineUser(sequelize),
    accountRedirect: defineAccountRedirect(sequelize),
    team: defineTeam(sequelize),
    teamUnit: defineTeamUnit(sequelize),
    teamRepository: defineTeamRepository(sequelize),
    teamUser: defineTeamUser(sequelize),
    publicMember: definePublicMember(sequelize),
    accessToken: defineAccessToken(sequelize),
    twoFactor: defineTwoFactor(sequelize),
    externalIdentity: defineExternalIdentity(sequelize),
    signInTicket: defineSignInTicket(sequelize),
    signingKey: defineSigningKey(sequelize),
    package: definePackage(sequelize),
    packageVersion: definePackageVersion(sequelize),
    packageFile: definePackageFile(sequelize),
    packageBlob: definePackageBlob(sequelize),
    packageBlobUpload: definePackageBlobUpload(sequelize),
    packageProperty: definePackageProperty(sequelize),
    repository: defineRepository(sequelize),
    packageCleanupRule: definePackageCleanupRule(sequelize),
    ownerQuota: defineOwnerQuota(sequelize),
    upstream: defineUpstream(sequelize),
    upstreamDocument: defineUpstreamDocument(sequelize),
    upstreamDigest: defineUpstreamDigest(sequelize),
    upstreamAttachment: defineUpstreamAttachment(sequelize),
    upstreamVersion: defineUpstreamVersion(sequelize),
    upstreamPin: defineUpstreamPin(sequelize),
    upstreamTag: defineUpstreamTag(sequelize),
    packageRule: definePackageRule(sequelize),
    nameBinding: defineNameBinding(sequelize),
    reservedName: defineReservedName(sequelize),
    webhook: defineWebhook(sequelize),
    hookTask: defineHookTask(sequelize),
    auditEvent: defineAuditEvent(sequelize),
    trustedPublisher: defineTrustedPublisher(sequelize),
    usedIdToken: defineUsedIdToken(sequelize),
    jobRun: defineJobRun(sequelize),
  }
}
