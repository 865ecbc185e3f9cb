import type { FastifyReply, FastifyRequest } from 'fastify'
import { TICKET_LIFE } from '../sign-in/tickets.ts'

/** A cookie of the sign-in pages: what it is called. */
export type CookieName = 'entrepot_sign_in' | 'entrepot_signed_in'

/** Its value; empty: the browser sent none. */
export function readCookie({ headers }: FastifyRequest, name: CookieName): string {
  const pairs = (headers.cookie ?? '').split(';').map((pair) => pair.trim())
  return pairs.find((pair) => pair.startsWith(`${name}=`))?.slice(name.length + 1) ?? ''
}

/**
 * Binds a ticket to the browser, for as long as it is valid. No script sees it, and other sites' forms do not bring it
 * along; an identity provider's redirect does.
 */
export function setCookie(reply: FastifyReply, name: CookieName, secret: string): void {
  writeCookie(reply, name, secret, TICKET_LIFE / 1_000)
}

/** Makes the browser forget it. */
export function clearCookie(reply: FastifyReply, name: CookieName): void {
  writeCookie(reply, name, '', 0)
}

/** `secret` is hex, so nothing of it needs an encoding. */
function writeCookie(reply: FastifyReply, name: CookieName, secret: string, seconds: number): void {
  const { protocol, pathname } = new URL(reply.server.services.config.baseUrl)
  const path = `${pathname.replace(/\/$/, '')}/login`
  const secure = protocol === 'https:' ? '; Secure' : ''
  reply.header('set-cookie', `${name}=${secret}; Path=${path}; Max-Age=${seconds}; HttpOnly; SameSite=Lax${secure}`)
}
