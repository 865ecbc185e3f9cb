// The package ships no types; this is the part of it that we use.
declare module '@npmcli/config' {
  export default class Config {
    constructor(options: {
      npmPath: string
      definitions: object
      flatten: object
      shorthands: object
      argv: string[]
      env: Record<string, string | undefined>
      warn: boolean
    })
    load(): Promise<void>
    get(key: string): unknown
  }
}

declare module '@npmcli/config/lib/definitions/index.js' {
  // CommonJS that Node's import cannot take apart: only the default export is there at run time.
  const settings: { definitions: object; flatten: object; shorthands: object }
  export default settings
}
