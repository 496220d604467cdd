/**
 * The few pages that the server itself has until the web interface exists: no script, no outside resource, and a policy that
 * allows none. Referrers stay within this server; without any, browsers would not say where a form comes from.
 */
import { createHash } from 'node:crypto';
import type { FastifyReply } from 'fastify';

const STYLE = `:root{color-scheme:light dark;--ink:#16202b;--soft:#586573;--paper:#f6f8fa;--card:#fff;--line:#d9e0e7;--link:#0b62b8;--edge:#7b8794;--on:#fff;--bad:#b3261e}
@media(prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa7b4;--paper:#0d1319;--card:#151d26;--line:#2a3541;--link:#6cb6ff;--edge:#6f7c8a;--on:#0d1319;--bad:#ff8a80}}
*{box-sizing:border-box}body{margin:0;min-height:100vh;display:grid;place-items:center;padding:2rem 1rem;background:var(--paper);
color:var(--ink);font:16px/1.55 system-ui,-apple-system,"Segoe UI",sans-serif}
main{width:100%;max-width:40rem;background:var(--card);border:1px solid var(--line);border-radius:14px;padding:2rem}
main.narrow{max-width:25rem}main.wide{max-width:72rem}body:has(main.wide){place-items:start center;grid-template-columns:minmax(0,1fr)}
main.wide h2{margin:2rem 0 .5rem;font-size:1.15rem;scroll-margin-top:1rem}h4{margin:1rem 0 .3rem;font-size:.9rem}nav{display:flex;flex-wrap:wrap;gap:.35rem 1.1rem;margin:1rem 0}
details{border:1px solid var(--line);border-radius:9px;margin:.4rem 0;padding:.45rem .8rem;scroll-margin-top:1rem}details:target{border-color:var(--link)}
summary{display:flex;flex-wrap:wrap;gap:.15rem .7rem;align-items:baseline;cursor:pointer}summary code{overflow-wrap:anywhere}
summary b{min-width:4.2rem;font:700 .78rem ui-monospace,SFMono-Regular,Menlo,monospace;color:var(--link)}summary b.delete{color:var(--bad)}summary span{margin-left:auto}
.scroll{overflow-x:auto}table{width:100%;border-collapse:collapse;font-size:.9rem}td{padding:.3rem .8rem .3rem 0;border-top:1px solid var(--line);vertical-align:top}i{color:var(--soft)}
@media(max-width:40rem){main.wide{padding:1.2rem}summary span{width:100%;margin:0}}
h1{margin:0;font-size:1.5rem;letter-spacing:-.01em}p{margin:.75rem 0;color:var(--soft)}a{color:var(--link)}
ul{list-style:none;margin:1.25rem 0 0;padding:0;border-top:1px solid var(--line)}
li{display:flex;flex-wrap:wrap;gap:.25rem 1rem;justify-content:space-between;padding:.7rem 0;border-bottom:1px solid var(--line)}
pre{margin:1rem 0 0;padding:.9rem 1rem;overflow:auto;background:var(--paper);border:1px solid var(--line);border-radius:9px;
font:13px/1.6 ui-monospace,SFMono-Regular,Menlo,monospace}code{font-family:ui-monospace,SFMono-Regular,Menlo,monospace;font-size:.92em}
span{color:var(--soft)}form{margin:1.25rem 0 0}label{display:block;margin:1rem 0 .3rem;font-weight:600}
input{width:100%;min-height:2.75rem;padding:.5rem .75rem;border:1px solid var(--edge);border-radius:9px;background:var(--paper);color:var(--ink);font:inherit}
button{width:100%;min-height:2.75rem;margin-top:1.5rem;border:0;border-radius:9px;background:var(--link);color:var(--on);font:inherit;font-weight:600;cursor:pointer}
button.link{width:auto;min-height:0;margin:0;padding:0;background:none;color:var(--link);font-weight:400;text-decoration:underline}li form{margin:0}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.problem{margin:1.25rem 0 0;padding:.7rem .9rem;border:1px solid var(--bad);border-radius:9px;color:var(--bad)}`;

const POLICY = [
  "default-src 'none'",
  `style-src 'sha256-${createHash('sha256').update(STYLE).digest('base64')}'`,
  "form-action 'self'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** Text as it may stand in an element or in a quoted attribute. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** Sends `body`, whose values are escaped already, as a page of ours. */
export function sendHtml(
  reply: FastifyReply,
  page: {
    readonly title: string;
    readonly body: string;
    readonly status?: number;
    readonly narrow?: boolean;
    readonly wide?: boolean;
  },
): FastifyReply {
  return reply
    .code(page.status ?? 200)
    .header('content-type', 'text/html; charset=utf-8')
    .header('content-security-policy', POLICY)
    .header('x-content-type-options', 'nosniff')
    .header('referrer-policy', 'same-origin')
    .header('cache-control', 'no-store')
    .send(
      `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">` +
        `<title>${page.title}</title><style>${STYLE}</style></head>` +
        `<body><main${page.narrow ? ' class="narrow"' : page.wide ? ' class="wide"' : ''}>${page.body}</main></body></html>`,
    );
}

/** What the server is, and where to go from here. */
export function sendHomePage(reply: FastifyReply, docs: boolean): FastifyReply {
  return sendHtml(reply, {
    title: 'Airlock',
    body: `<h1>Airlock</h1>
<p>This server is running. It has no web interface yet; everything it does is reachable over its APIs and the command line.</p>
<ul>
<li><a href="/api/v2/monitor/health">Health</a><span>scheduler, dag-processor, database</span></li>
<li><a href="/api/v2/version">Version</a><span>REST API v2, as Airflow 3.3 speaks it</span></li>
${docs ? '<li><a href="/docs">REST API</a><span>what this release serves, and how to ask for it</span></li>' : ''}
<li><a href="/openapi.json">OpenAPI document</a><span>the same for programs</span></li>
<li><a href="/.well-known/jwks.json">Public keys</a><span>what its tokens are signed with</span></li>
<li><a href="/auth/login">Log in</a><span>then this browser may use the API</span></li>
<li><form method="post" action="/api/v2/auth/logout"><button class="link">Log out</button></form><span>ends the session of this browser</span></li>
</ul>
<pre>npx --no-install airlock dags list
npx --no-install airlock dags trigger weather_report --wait</pre>`,
  });
}
