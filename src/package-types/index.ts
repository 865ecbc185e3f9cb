import { container } from './container/index.ts'
import { generic } from './generic/index.ts'
import { maven } from './maven/index.ts'
import { npm } from './npm/index.ts'
import type { PackageType } from './package-type.ts'

/** Every package type, one line each. */
export const packageTypes: readonly PackageType[] = [container, generic, maven, npm]
