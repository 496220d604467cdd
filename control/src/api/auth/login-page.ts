/** The page to log in by: a form without script. What it sends back, it has escaped. */
import type { FastifyReply } from 'fastify';
import { escapeHtml, sendHtml } from '../http/page.ts';
import { PASSWORD_MAX_LENGTH } from './passwords.ts';

export type LoginPage = {
  /** Path to go to afterwards; already judged safe. */
  readonly next: string | null;
  readonly username?: string;
  /** What went wrong, as a sentence, and the status that says so. */
  readonly problem?: { readonly text: string; readonly status: number };
};

export function sendLoginPage(reply: FastifyReply, { next, username = '', problem }: LoginPage): FastifyReply {
  const described = problem ? ' aria-describedby="problem"' : '';
  const focus = (on: boolean) => (on ? ' autofocus' : '');
  return sendHtml(reply, {
    title: problem ? 'Not logged in · Airlock' : 'Log in · Airlock',
    status: problem?.status ?? 200,
    narrow: true,
    body: `<h1>Log in to Airlock</h1>
${problem ? `<p class="problem" id="problem" role="alert">${escapeHtml(problem.text)}</p>` : ''}
<form method="post" action="/auth/login">
${next === null ? '' : `<input type="hidden" name="next" value="${escapeHtml(next)}">`}
<label for="username">User name</label>
<input id="username" name="username" value="${escapeHtml(username)}" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="250" required${described}${focus(username === '')}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="${2 * PASSWORD_MAX_LENGTH}" required${described}${focus(username !== '')}>
<button>Log in</button>
</form>
<p>Scripts trade user name and password for a token at <code>POST /auth/token</code>.</p>`,
  });
}
