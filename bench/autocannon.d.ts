// The package ships no types; this is the part of it that we use.
declare module 'autocannon' {
  export interface Result {
    errors: number
    timeouts: number
    statusCodeStats: Record<string, { count: number }>
  }
  export default function autocannon(options: {
    url: string
    headers: Record<string, string>
    connections: number
    amount: number
    /** Seconds without an answer. */
    timeout: number
    /** Ms between two looks at whether it is done. */
    sampleInt: number
    /** Called with each connection. */
    setupClient: (client: { pipelinedRequests: { addBody(data: Buffer): void } }) => void
  }): Promise<Result>
}
