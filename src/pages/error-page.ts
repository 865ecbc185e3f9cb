import type { RenderError } from '../http/error-handler.ts'
import { loggedPath } from '../http/observe.ts'
import { html } from './html.ts'
import { pageHeaders, pageType, renderPage } from './page.ts'

const TITLES: Readonly<Record<number, string>> = {
  400: 'This sign-in cannot go on',
  403: 'You may not sign in',
  404: 'There is nothing here',
  429: 'Too many requests',
  502: 'The identity provider cannot be used',
  504: 'The identity provider does not answer',
}

/** An error as a page for people. Why somebody could not sign in is logged, without what he came with. */
export const renderErrorPage: RenderError = (error, request) => {
  const { status, message, cause } = error
  if (status < 500 && cause instanceof Error) {
    request.log.warn({ path: loggedPath(request.url), status, reason: cause.message }, 'sign-in failed')
  }
  const again = `${request.server.services.config.baseUrl}/login`
  const body = html`<p class="error">${message}</p><p><a href="${again}">Sign in</a></p>`
  return {
    status,
    headers: { ...pageHeaders },
    body: renderPage(TITLES[status] ?? 'Something went wrong', body),
    contentType: pageType,
  }
}
