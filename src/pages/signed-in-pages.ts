import type { Owner } from '../auth/owner.ts'
import type { Config } from '../config/config.ts'
import type { NpmLogin } from '../sign-in/npm-logins.ts'
import { type Html, html } from './html.ts'

/** Asks whether npm may have a token. `address` is that of the browser. */
export function npmQuestion(config: Config, user: Owner, waiting: NpmLogin, address: string): Html {
  const isElsewhere = waiting.address !== address
  const warning = html`<p class="error">Your browser is at another address, ${address}. If you did not start npm login
yourself, somebody wants your rights: close this page.</p>`
  return html`<p>You are signed in as <strong>${user.name}</strong>. ${describeClient(waiting)}</p>
${isElsewhere ? warning : null}
<p>It would read and write all packages that you may.</p>
<form method="post" action="${config.baseUrl}/login/npm"><button>Give npm a token</button></form>
<p>If you did not start this, close the page.</p>`
}

/** Says that a client waits, before anybody has signed in. */
export function describeClient({ registry, address, at }: NpmLogin): Html {
  const time = new Date(at).toISOString().slice(0, 19).replace('T', ' ')
  return html`npm at the address <strong>${address}</strong> asks for a token for <strong>${registry}</strong>, since
${time} UTC.`
}

/** A new token, this once, and what clients want of it. */
export function newToken({ baseUrl }: Config, user: Owner, secret: string): Html {
  const { host, pathname } = new URL(baseUrl)
  const place = `${host}${pathname.replace(/\/$/, '')}`
  const server = `<server>
  <id>entrepot</id>
  <username>${user.name}</username>
  <password>${secret}</password>
</server>`
  return html`<p>It is shown only now. Whoever has it has the rights you chose.</p>
<pre>${secret}</pre>
<h2>npm</h2>
<pre>npm config set "//${place}/api/packages/${user.name}/npm/:_authToken=${secret}"</pre>
<p>Put the owner of your packages in the place of ${user.name}.</p>
<h2>docker</h2>
<pre>echo ${secret} | docker login ${host} -u ${user.name} --password-stdin</pre>
<h2>mvn</h2>
<p>In the servers of <code>~/.m2/settings.xml</code>, with the id of your repository:</p>
<pre>${server}</pre>`
}
