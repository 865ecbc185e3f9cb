import { addressOf } from './address.ts'
import type { Call } from './call.ts'

/** Where a call's repository is, by the name that the client calls it; for Location and Link headers. */
export function repositoryPath({ request }: Pick<Call, 'request'>): string {
  const { mirror } = request.params as { mirror?: string }
  const prefix = mirror === undefined ? '' : `/mirror/${encodeURIComponent(mirror)}`
  return `${prefix}/v2/${addressOf(request)!.shown}`
}
