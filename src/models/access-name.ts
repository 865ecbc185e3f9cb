/** The access modes of Gitea by name, from nothing to ownership (gitea-model.md §10). */
export type AccessName = 'none' | 'read' | 'write' | 'admin' | 'owner'
