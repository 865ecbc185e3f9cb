import { Type } from 'typebox'
import { body, optional, text } from './schemas.ts'

/** Accepted from Gitea's clients and without effect: there is no git here. */
const ignoredFlags = (...names: string[]) => Object.fromEntries(names.map((name) => [name, optional(Type.Boolean())]))
const ignoredTexts = (...names: string[]) => Object.fromEntries(names.map((name) => [name, optional(text(255))]))
const ignoredObjects = (...names: string[]) =>
  Object.fromEntries(names.map((name) => [name, optional(Type.Object({}))]))

const common = {
  description: optional(text(2048)),
  private: optional(Type.Boolean()),
  website: optional(text(1024)),
}

/** Gitea's CreateRepoOption, and `website`, which Gitea's clients can set only afterwards. */
export const CreateRepository = body(
  {
    ...ignoredFlags('auto_init', 'template'),
    ...ignoredTexts('issue_labels', 'gitignores', 'license', 'readme'),
    ...ignoredTexts('default_branch', 'trust_model', 'object_format_name'),
    name: text(255, 1),
    ...common,
  },
  { title: 'CreateRepoOption' },
)

/** Gitea's EditRepoOption. */
export const EditRepository = body(
  {
    ...ignoredFlags('template', 'archived', 'has_issues', 'has_wiki', 'has_pull_requests', 'has_projects'),
    ...ignoredFlags('has_code', 'has_releases', 'has_packages', 'has_actions', 'ignore_whitespace_conflicts'),
    ...ignoredFlags('allow_merge_commits', 'allow_rebase', 'allow_rebase_explicit', 'allow_squash_merge'),
    ...ignoredFlags('allow_fast_forward_only_merge', 'allow_manual_merge', 'autodetect_manual_merge'),
    ...ignoredFlags('allow_rebase_update', 'default_delete_branch_after_merge', 'default_allow_maintainer_edit'),
    ...ignoredFlags('enable_prune'),
    ...ignoredTexts('default_branch', 'default_merge_style', 'mirror_interval', 'projects_mode'),
    ...ignoredObjects('internal_tracker', 'external_tracker', 'external_wiki'),
    name: optional(text(255, 1)),
    ...common,
  },
  { title: 'EditRepoOption' },
)
