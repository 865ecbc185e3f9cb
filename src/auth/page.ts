/** Which rows of a list; from `http/pagination.ts`. */
export interface Window {
  readonly offset: number
  readonly limit: number
}

/** One page of a list, and how many rows there are in all. */
export interface Page<T> {
  readonly rows: T[]
  readonly total: number
}
