/** The few pages that the server itself has until the web interface exists. Static text, no script, no outside resource. */
import type { FastifyReply } from 'fastify';

const STYLE = `:root{color-scheme:light dark;--ink:#16202b;--soft:#586573;--paper:#f6f8fa;--card:#fff;--line:#d9e0e7;--link:#0b62b8}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa7b4;--paper:#0d1319;--card:#151d26;--line:#2a3541;--link:#6cb6ff}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;padding:2rem 1rem;background:var(--paper);
color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{width:100%;max-width:40rem;background:var(--card);border:1px solid var(--line);border-radius:14px;padding:2rem}
h1{margin:0;font-size:1.5rem;letter-spacing:-.01em}p{margin:.75rem 0;color:var(--soft)}a{color:var(--link)}
ul{list-style:none;margin:1.25rem 0 0;padding:0;border-top:1px solid var(--line)}
li{display:flex;flex-wrap:wrap;gap:.25rem 1rem;justify-content:space-between;padding:.7rem 0;border-bottom:1px solid var(--line)}
pre{margin:1rem 0 0;padding:.9rem 1rem;overflow:auto;background:var(--paper);border:1px solid var(--line);border-radius:9px;
font:13px/1.6 ui-monospace,SFMono-Regular,Menlo,monospace}code{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.92em}
span{color:var(--soft)}`;

const PAGES = {
  home: {
    title: 'Airlock',
    body: `<h1>Airlock</h1>
<p>This server is running. It has no web interface yet; everything it does is reachable over its APIs and the command line.</p>
<ul>
<li><a href="/api/v2/monitor/health">Health</a><span>scheduler, dag-processor, database</span></li>
<li><a href="/api/v2/version">Version</a><span>REST API v2, as Airflow 3.3 speaks it</span></li>
<li><a href="/openapi.json">OpenAPI document</a><span>the routes that this release serves</span></li>
<li><a href="/.well-known/jwks.json">Public keys</a><span>what its tokens are signed with</span></li>
<li><a href="/auth/login">Logging in</a><span>how to get a token</span></li>
</ul>
<pre>npx --no-install airlock dags list
npx --no-install airlock dags trigger weather_report --wait</pre>`,
  },
  login: {
    title: 'Log in · Airlock',
    body: `<h1>Logging in</h1>
<p>There is no log-in form yet. Trade user name and password for a token, and send it with each request.</p>
<pre>curl -X POST -H 'Content-Type: application/json' \\
  -d '{"username": "admin", "password": "…"}' /auth/token

curl -H 'Authorization: Bearer TOKEN' /api/v2/dags</pre>
<p>On the machine of the server, <code>airlock users reset-password admin</code> sets a new password.</p>
<ul><li><a href="/">Back</a><span>Airlock</span></li></ul>`,
  },
} as const;

/** Sends one of the pages, with nothing allowed but its own style. */
export function sendPage(reply: FastifyReply, page: keyof typeof PAGES): FastifyReply {
  const { title, body } = PAGES[page];
  return reply
    .header('content-type', 'text/html; charset=utf-8')
    .header(
      'content-security-policy',
      "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    )
    .header('x-content-type-options', 'nosniff')
    .header('referrer-policy', 'no-referrer')
    .send(
      `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">` +
        `<title>${title}</title><style>${STYLE}</style></head><body><main>${body}</main></body></html>`,
    );
}
