/**
 * `/openapi.json`, and `/docs`: the same document for people. The page is made here and needs no script: a viewer from elsewhere
 * would run a megabyte of it where the cookies of this server work, and wants styles that our policy for pages refuses.
 * @see rest-api 1.1
 */
import type { FastifyInstance } from 'fastify';
import { sendJson } from '../http/errors.ts';
import { escapeHtml, sendHtml } from '../http/page.ts';
import { REST_PREFIX, REST_ROUTES } from '../rest/index.ts';
import { type OpenApiDocument, type OpenApiOperation, openApiDocument, type Parameter } from '../rest/openapi.ts';
import { schemaAnchor, schemaHtml } from './schema-text.ts';

/** `code` in backquotes becomes an element. */
const prose = (text: string): string => escapeHtml(text).replace(/`([^`]+)`/g, '<code>$1</code>');

const TITLES: Readonly<Record<string, string>> = { hitl_detail: 'Requests to people', xcom: 'XCom', run: 'Dag run' };

function parameters(list: readonly Parameter[]): string {
  if (list.length === 0) return '';
  const rows = list.map(({ name, in: place, required, schema }) => {
    const repeated = schema.type === 'array';
    const shown = repeated ? schemaHtml(schema.items as Parameter['schema']) : schemaHtml(schema);
    const notes = [place, ...(required ? ['required'] : []), ...(repeated ? ['repeatable'] : [])].join(', ');
    return `<tr><td><code>${escapeHtml(name)}</code></td><td>${shown}</td><td>${notes}</td></tr>`;
  });
  return `<h4>Parameters</h4><div class="scroll"><table>${rows.join('')}</table></div>`;
}

function operationHtml(method: string, path: string, operation: OpenApiOperation): string {
  const body = operation.requestBody;
  const sent = body?.content['application/json']?.schema;
  const answers = Object.entries(operation.responses).map(([status, { description, content }]) => {
    const schema = content?.['application/json']?.schema;
    const types = Object.keys(content ?? {}).filter((type) => type !== 'application/json');
    const shape = schema && status < '400' ? schemaHtml(schema) : '';
    const also = types.map((type) => `<code>${escapeHtml(type)}</code>`).join(' ');
    return `<tr><td><code>${status}</code></td><td>${escapeHtml(description)}</td><td>${shape} ${also}</td></tr>`;
  });
  const open = operation.security.length === 0 ? '<p>Needs no credential.</p>' : '';
  return (
    `<details id="${operation.operationId}"><summary><b class="${method}">${method.toUpperCase()}</b> ` +
    `<code>${escapeHtml(path)}</code><span>${prose(operation.summary)}</span></summary>${open}` +
    parameters(operation.parameters) +
    (sent ? `<h4>Body${body?.required ? '' : ' (may be left out)'}</h4><pre>${schemaHtml(sent)}</pre>` : '') +
    `<h4>Answers</h4><div class="scroll"><table>${answers.join('')}</table></div></details>`
  );
}

/** The whole page below its title. Pure. */
export function docsHtml(document: OpenApiDocument): string {
  const sections = new Map<string, string[]>();
  for (const [path, methods] of Object.entries(document.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const tag = operation.tags[0]!;
      sections.set(tag, [...(sections.get(tag) ?? []), operationHtml(method, path, operation)]);
    }
  }
  const title = (tag: string) =>
    escapeHtml(TITLES[tag] ?? `${tag[0]!.toUpperCase()}${tag.slice(1).replaceAll('_', ' ')}`);
  const sorted = [...sections].sort(([a], [b]) => (a < b ? -1 : 1));
  const menu = sorted.map(([tag, all]) => `<a href="#${tag}">${title(tag)}</a> <span>${all.length}</span>`);
  const named = Object.entries(document.components.schemas).map(
    ([name, schema]) =>
      `<details id="${schemaAnchor(name)}"><summary><code>${escapeHtml(name)}</code></summary><pre>${schemaHtml(schema)}</pre></details>`,
  );
  return (
    `<h1>${escapeHtml(document.info.title)}</h1><p>${escapeHtml(document.info.description)} ` +
    'A credential is <code>Authorization: Bearer</code> with a token of <code>POST /auth/token</code>. ' +
    'Shapes are written as TypeScript types. For programs: <a href="/openapi.json">openapi.json</a>.</p>' +
    `<nav>${menu.map((each) => `<span>${each}</span>`).join('')}<span><a href="#schemas">Shapes</a> <span>${named.length}</span></span></nav>` +
    sorted.map(([tag, all]) => `<h2 id="${tag}">${title(tag)}</h2>${all.join('')}`).join('') +
    `<h2 id="schemas">Shapes</h2>${named.join('')}`
  );
}

/** @param withPage false: the document alone */
export function mountDocs(app: FastifyInstance, withPage: boolean): void {
  // Made when it is asked for the first time: a start need not wait for it.
  let document: OpenApiDocument | null = null;
  const made = () => (document ??= openApiDocument(REST_ROUTES, REST_PREFIX));
  app.get('/openapi.json', async (_request, reply) => sendJson(reply, made()));
  if (!withPage) return;
  let page: string | null = null;
  app.get('/docs', async (_request, reply) => {
    page ??= docsHtml(made());
    return sendHtml(reply, { title: 'Airlock REST API', body: page, wide: true });
  });
}
