import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestApp } from '../support/test-app.ts'

/** What the suite needs to know of a type. Names are six letters long, so that equal answers have equal lengths. */
export interface VisibilityFixture {
  /** The type's name. */
  type: string
  /** What REST calls the package. */
  packageName(name: string): string
  /** Publishes version 1.0.0 of a package; the first answer that is no success, else the last. */
  publish(app: TestApp, owner: string, name: string, authorization: string): Promise<LightMyRequestResponse>
  /**
   * Requests that read it: all that there are. Those of a package that exists are answered 200, unless told; what is
   * read from the database each time is a list.
   */
  reads(owner: string, name: string): (InjectOptions & { status?: number; isList?: boolean })[]
  /** Lists of the owner's packages, with what they name the package. */
  lists(
    owner: string,
  ): { request: InjectOptions; isFor?: (who: Identity) => boolean; named: (name: string) => string }[]
  /** Whether an answer that shows nothing to anonymous callers is a challenge; default false. */
  needsSignIn?: boolean
}

/**
 * Who reads which package, written by hand (security.md S1, S10): `y` reads, `-` gets the answer for a package that does
 * not exist. `ann` owns all owners; `none`, `read` and `write` are in teams of the organizations; the tokens are hers:
 * `pub` public-only, `pkg` for this package, `xpkg` for another one, `rpkg` of scope read:package, `rusr` read:user.
 */
const table = `
package          owner       anon bob none read write ann root rpkg pub pkg xpkg rusr
inherited        openorg     y    y   y    y    y     y   y    y    y   y   -    -
inherited        limited     -    y   y    y    y     y   y    y    -   y   -    -
inherited        private     -    -   y    y    y     y   y    y    -   y   -    -
inherited        openuser    y    y   y    y    y     y   y    y    y   y   -    -
private          openorg     -    -   -    y    y     y   y    y    -   y   -    -
private          limited     -    -   -    y    y     y   y    y    -   y   -    -
private          private     -    -   -    y    y     y   y    y    -   y   -    -
private          openuser    -    -   -    -    -     y   y    y    -   y   -    -
`
const [head, ...rows] = table
  .trim()
  .split('\n')
  .map((line) => line.split(/\s+/))
const identities = head!.slice(2) as Identity[]

/** A column of the table. */
export type Identity =
  | ('anon' | 'bob' | 'none' | 'read' | 'write' | 'ann' | 'root')
  | ('rpkg' | 'pub' | 'pkg' | 'xpkg' | 'rusr')

const ORGANIZATIONS = { openorg: 'public', limited: 'limited', private: 'private' } as const
/** The owner `openuser` is ann herself. */
const OWNERS = ['openorg', 'limited', 'private', 'ann'] as const

/** What holds for private packages of every type (security.md S1, S2, S4, S10, S43). */
export function describePackageVisibility(fixture: VisibilityFixture): void {
  const { type } = fixture

  describe(`private packages of type ${type}`, () => {
    let app: TestApp
    let ann: string
    const credentials = new Map<string, string | null>()

    beforeAll(async () => {
      app = await TestApp.start()
      ann = await app.createUser('ann')
      credentials.set('anon', null).set('ann', ann).set('root', app.admin)
      for (const user of ['bob', 'none', 'read', 'write']) credentials.set(user, await app.createUser(`${user}-user`))
      for (const [org, visibility] of Object.entries(ORGANIZATIONS)) {
        await app.createOrganization(org, ann, visibility)
        for (const mode of ['none', 'read', 'write']) await addToTeam(org, mode)
      }
      for (const scope of ['rpkg', 'rusr', 'pub']) {
        const scopes = { rpkg: ['read:package'], rusr: ['read:user'], pub: ['all', 'public-only'] }[scope]!
        credentials.set(scope, `Bearer ${await app.createToken('ann', scopes, ann)}`)
      }
      for (const [name, shown] of [
        ['pkg', 'hidden'],
        ['xpkg', 'others'],
      ] as const) {
        const packages = OWNERS.flatMap((owner) =>
          [shown, ...(name === 'pkg' ? ['common', 'absent'] : [])].map((each) => ({
            owner,
            type,
            name: fixture.packageName(each),
          })),
        )
        const body = { name, scopes: ['all'], restrictions: { packages } }
        const made = await app.api('POST', '/users/ann/tokens', body, ann)
        expect(made.statusCode, made.body).toBe(201)
        credentials.set(name, `Bearer ${(made.json() as { sha1: string }).sha1}`)
      }
      for (const owner of OWNERS) {
        for (const name of ['common', 'hidden']) {
          const published = await fixture.publish(app, owner, name, ann)
          expect(published.statusCode, published.body).toBe(201)
        }
        await setVisibility(owner, 'hidden', 'private')
      }
    }, 120_000)
    afterAll(() => app.close())

    async function addToTeam(org: string, mode: string): Promise<void> {
      const units = { units_map: { 'repo.packages': mode, 'repo.code': 'read' } }
      const made = await app.api('POST', `/orgs/${org}/teams`, { name: mode, ...units }, ann)
      expect(made.statusCode, made.body).toBe(201)
      const { id } = made.json() as { id: number }
      expect((await app.api('PUT', `/teams/${id}/members/${mode}-user`, undefined, ann)).statusCode).toBe(204)
    }

    async function setVisibility(owner: string, name: string, visibility: string): Promise<void> {
      const path = `/packages/${owner}/${type}/${encodeURIComponent(fixture.packageName(name))}`
      const answer = await app.api('PATCH', path, { visibility }, ann)
      expect(answer.statusCode, answer.body).toBe(204)
    }

    function send(request: InjectOptions, who: Identity): Promise<LightMyRequestResponse> {
      const authorization = credentials.get(who)
      return app.inject({ ...request, headers: { ...request.headers, ...(authorization && { authorization }) } })
    }

    /** All that a client sees of an answer to a request for `name`, as if it were for `absent`. */
    async function seen(name: string, request: InjectOptions, who: Identity): Promise<string> {
      const { statusCode, statusMessage, headers, body } = await send(request, who)
      const { date: _date, ...rest } = headers
      const text = JSON.stringify({ statusCode, statusMessage, rest, body })
      return text.replaceAll(name, 'absent').replaceAll(name.toUpperCase(), 'ABSENT')
    }

    async function expectAbsent(owner: string, name: string, who: Identity): Promise<void> {
      const absent = fixture.reads(owner, 'absent')
      for (const [index, request] of fixture.reads(owner, name).entries()) {
        const what = `${who}: ${request.method ?? 'GET'} ${String(request.url)}`
        expect(await seen(name, request, who), what).toBe(await seen('absent', absent[index]!, who))
      }
    }

    async function expectRead(owner: string, name: string, who: Identity): Promise<void> {
      for (const { status = 200, isList: _isList, ...request } of fixture.reads(owner, name)) {
        const answer = await send(request, who)
        expect(answer.statusCode, `${who}: ${request.method ?? 'GET'} ${String(request.url)} ${answer.body}`).toBe(
          status,
        )
        if (name !== 'hidden' && owner !== 'private') continue
        expect(answer.headers['cache-control']).toMatch(/^(private|no-store|max-age=0, private)/)
        if (answer.headers['cache-control']?.startsWith('private'))
          expect(answer.headers['vary']).toMatch(/Authorization/)
      }
    }

    describe.each(rows.map(([kind, owner, ...cells]) => ({ kind: kind!, owner: owner!, cells })))(
      'a package that is $kind, of $owner',
      ({ kind, owner: called, cells }) => {
        const owner = called === 'openuser' ? 'ann' : called
        const name = kind === 'private' ? 'hidden' : 'common'

        test.each(identities.map((who, index) => ({ who, reads: cells[index] === 'y' })))(
          '$who reads: $reads (security.md S1, S4, S10)',
          async ({ who, reads }) => {
            if (reads && !(who === 'anon' && fixture.needsSignIn)) await expectRead(owner, name, who)
            else if (name === 'hidden') await expectAbsent(owner, name, who)
            else {
              for (const request of fixture.reads(owner, name)) {
                expect([401, 403, 404]).toContain((await send(request, who)).statusCode)
              }
            }
          },
        )
      },
    )

    test('lists name it to its readers only, and count it for nobody else (security.md S4)', async () => {
      for (const [kind, called, ...cells] of rows) {
        const owner = called === 'openuser' ? 'ann' : called!
        const name = kind === 'private' ? 'hidden' : 'common'
        for (const [index, who] of identities.entries()) {
          for (const { request, named, isFor } of fixture.lists(owner)) {
            if (isFor?.(who) === false) continue
            const answer = await send(request, who)
            const shown = answer.statusCode === 200 && answer.body.includes(named(name))
            expect(shown, `${who}: ${String(request.url)} ${answer.body}`).toBe(
              cells[index] === 'y' && !(who === 'anon' && fixture.needsSignIn === true),
            )
            if (!answer.body.includes(named('hidden'))) continue
            expect(answer.headers['cache-control']).toMatch(/private|no-store/)
          }
        }
      }
    }, 60_000)

    test('what is warm is forgotten when the visibility changes, at the very next request', async () => {
      expect((await fixture.publish(app, 'openorg', 'turned', ann)).statusCode).toBe(201)
      const outsider = fixture.needsSignIn ? 'bob' : 'anon'
      for (let turn = 0; turn < 2; turn += 1) {
        await expectRead('openorg', 'turned', outsider)
        await setVisibility('openorg', 'turned', 'private')
        await expectAbsent('openorg', 'turned', outsider)
        await expectAbsent('openorg', 'turned', 'none')
        await expectRead('openorg', 'turned', 'read')
        await setVisibility('openorg', 'turned', 'inherited')
      }
      await expectRead('openorg', 'turned', outsider)
    })

    test('a warm read asks the database nothing, whoever reads what', async () => {
      if (fixture.needsSignIn) return
      const { db } = app.services
      for (const [who, name] of [
        ['anon', 'common'],
        ['bob', 'common'],
        ['read', 'hidden'],
        ['ann', 'hidden'],
      ] as const) {
        let before = 0
        for (let pass = 0; pass < 3; pass += 1) {
          await app.quiet()
          before = db.queries
          for (const { isList = false, status: _status, ...request } of fixture.reads('openorg', name)) {
            if (!isList) await send(request, who)
          }
        }
        expect(db.queries - before, `${who} reads ${name}`).toBe(0)
      }
    })

    test('one that was deleted leaves nothing: the next of its name is as visible as its owner', async () => {
      expect((await fixture.publish(app, 'openorg', 'former', ann)).statusCode).toBe(201)
      await setVisibility('openorg', 'former', 'private')
      const outsider = fixture.needsSignIn ? 'bob' : 'anon'
      await expectAbsent('openorg', 'former', outsider)
      const path = `/packages/openorg/${type}/${encodeURIComponent(fixture.packageName('former'))}`
      expect((await app.api('DELETE', path, undefined, ann)).statusCode).toBe(204)
      expect((await fixture.publish(app, 'openorg', 'former', ann)).statusCode).toBe(201)
      await expectRead('openorg', 'former', outsider)
    })

    test('nobody publishes to it but who reads it', async () => {
      for (const who of ['anon', 'bob', 'none', 'read'] as const) {
        const answers = await Promise.all(
          ['hidden', 'absent'].map((name) =>
            fixture.publish(app, 'openorg', name, credentials.get(who) ?? 'Basic Og=='),
          ),
        )
        expect(answers[0]!.statusCode).toBe(answers[1]!.statusCode)
        expect([401, 403]).toContain(answers[0]!.statusCode)
      }
      const publicOnly = await fixture.publish(app, 'openorg', 'hidden', credentials.get('pub')!)
      expect([401, 403]).toContain(publicOnly.statusCode)
      await expectAbsent('openorg', 'absent', 'bob')
    })
  })
}
