import { Type } from 'typebox'

/** Parameters of a URL that names a version, and of one that names a file. */
export const versionPath = Type.Object({ owner: Type.String(), name: Type.String(), version: Type.String() })
export const filePath = Type.Object({ ...versionPath.properties, filename: Type.String() })

export const versionUrl = '/:name/:version'
export const fileUrl = '/:name/:version/:filename'
