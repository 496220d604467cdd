/** /openapi.json and /docs: the document for programs, and for people. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { OpenApiDocument } from '../src/api/rest/openapi.ts';
import { type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
before(async () => {
  kit = await restKit();
});
after(() => kit[Symbol.asyncDispose]());

const page = async () => await (await fetch(`${kit.base}/docs`)).text();
const document = async () => (await (await fetch(`${kit.base}/openapi.json`)).json()) as OpenApiDocument;

test('the document names every reference that it makes, and each operation once', async () => {
  const { paths, components } = await document();
  const references = [...JSON.stringify({ paths, components }).matchAll(/"\$ref":"#\/components\/schemas\/(\w+)"/g)];
  assert.ok(references.length > 300);
  for (const [, name] of references) assert.ok(components.schemas[name!], name!);
  const ids = Object.values(paths).flatMap((methods) => Object.values(methods).map((each) => each.operationId));
  assert.equal(new Set(ids).size, ids.length);
});

test('the page shows each operation and each shape, and its links lead somewhere', async () => {
  const html = await page();
  const { paths, components } = await document();
  for (const methods of Object.values(paths))
    for (const { operationId } of Object.values(methods))
      assert.ok(html.includes(`<details id="${operationId}">`), operationId);
  for (const name of Object.keys(components.schemas)) assert.ok(html.includes(`<details id="schema-${name}">`), name);
  const ids = new Set([...html.matchAll(/ id="([^"]+)"/g)].map((match) => match[1]));
  for (const [, target] of html.matchAll(/href="#([^"]+)"/g)) assert.ok(ids.has(target!), target!);
  assert.match(html, /<code>limit<\/code><\/td><td>integer <i>≥ 0<\/i><\/td><td>query<\/td>/);
});

test('the page needs no script, loads nothing, and is framed by nobody', async () => {
  const answer = await fetch(`${kit.base}/docs`);
  const policy = answer.headers.get('content-security-policy')!;
  assert.match(policy, /^default-src 'none'; style-src 'sha256-[^']+'; .*frame-ancestors 'none'$/);
  const html = await answer.text();
  assert.doesNotMatch(html, /<script|<link|<img|<iframe|javascript:|\son\w+=|\sstyle=|https?:/i);
});

test('where the page is switched off it is not there, and the document is', async () => {
  await using off = await restKit({ config: { AIRLOCK__API__ENABLE_SWAGGER_UI: 'False' } });
  assert.equal((await fetch(`${off.base}/docs`)).status, 404);
  assert.equal((await fetch(`${off.base}/openapi.json`)).status, 200);
});
