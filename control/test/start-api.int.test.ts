/** The API server as a process mounts it: every API, the pages, the public keys, and the port. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { adoptConfig } from '@airlock/contract/config/handed';
import { sql } from '@airlock/store';
import { REST_ROUTES } from '../src/api/rest/index.ts';
import { type RunningApi, startApi } from '../src/api/start.ts';
import { type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
let folder: string;
let api: RunningApi;
const keys = { keys: [] as never[] };

const withApi = (over: Record<string, unknown>) => ({
  ...kit.deps,
  config: { ...kit.deps.config, api: { ...kit.deps.config.api, port: 0, ...over } },
});

before(async () => {
  kit = await restKit();
  folder = mkdtempSync(join(tmpdir(), 'airlock-api-'));
  api = await startApi(withApi({ access_control_allow_origins: ['https://ui.example'] }), {
    controlSocket: join(folder, 'control.sock'),
    operatorUids: [],
    jwks: () => keys,
    tls: null,
  });
});
after(async () => {
  await api.stop();
  await kit[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

test('the first page is plain HTML that may load nothing from anywhere', async () => {
  for (const path of ['/', '/auth/login']) {
    const answer = await fetch(api.url + path);
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8');
    assert.match(answer.headers.get('content-security-policy') ?? '', /default-src 'none'/);
    const html = await answer.text();
    assert.match(html, /prefers-color-scheme:dark/);
    assert.doesNotMatch(html, /<script|src=|@import/);
    for (const [, link = ''] of html.matchAll(/href="([^"]+)"/g))
      assert.equal((await fetch(api.url + link)).status, 200, link);
  }
});

test('the public keys and the document of routes are served without a token', async () => {
  assert.deepEqual(await (await fetch(`${api.url}/.well-known/jwks.json`)).json(), keys);
  const document = (await (await fetch(`${api.url}/openapi.json`)).json()) as {
    openapi: string;
    paths: Record<string, Record<string, unknown>>;
  };
  assert.match(document.openapi, /^3\./);
  const listed = Object.values(document.paths).flatMap((methods) => Object.keys(methods)).length;
  assert.equal(listed, REST_ROUTES.length);
  assert.ok(document.paths['/api/v2/variables/{variable_key}']?.patch);
});

test('the Execution API is mounted beside, and keeps its own words', async () => {
  const health = await fetch(`${api.url}/execution/health`);
  assert.equal(health.status, 200);
  const refused = await fetch(`${api.url}/execution/variables/x`);
  assert.ok(refused.status === 401 || refused.status === 403);
});

test('health says when no token can be made and verified, in the parts that clients of Airflow look at', async (t) => {
  const beatIso = new Date(kit.clock.nowMs()).toISOString();
  await kit.database.db.query(sql`
    INSERT INTO job (instance_id, job_type, state, hostname, unixname, start_date, latest_heartbeat)
    VALUES (${randomUUID()}, 'SchedulerJob', 'running', 'h', 'u', ${beatIso}, ${beatIso})
  `);
  const look = async (signingWorks: boolean) => {
    const options = { controlSocket: null, operatorUids: [], jwks: () => keys, tls: null };
    const running = await startApi({ ...withApi({}), signingWorks: async () => signingWorks }, options);
    t.after(() => running.stop());
    const health = await fetch(`${running.url}/api/v2/monitor/health`);
    const ping = await fetch(`${running.url}/execution/health/ping`);
    const { metadatabase, scheduler } = (await health.json()) as Record<string, { status: string }>;
    return [health.headers.get('airlock-signing'), metadatabase!.status, scheduler!.status, ping.status];
  };
  assert.deepEqual(await look(true), ['healthy', 'healthy', 'healthy', 200]);
  assert.deepEqual(await look(false), ['unhealthy', 'healthy', 'unhealthy', 500]);
});

test('pages of a listed origin may call, and no others', async () => {
  const preflight = (origin: string) =>
    fetch(`${api.url}/api/v2/dags`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'PATCH' },
    });
  const good = await preflight('https://ui.example');
  assert.deepEqual([good.status, good.headers.get('access-control-allow-origin')], [200, 'https://ui.example']);
  const bad = await preflight('https://evil.example');
  assert.deepEqual([bad.status, bad.headers.get('access-control-allow-origin')], [400, null]);
  const get = await fetch(`${api.url}/api/v2/version`, { headers: { origin: 'https://ui.example' } });
  assert.equal(get.headers.get('access-control-allow-credentials'), 'true');
  const options = { controlSocket: null, operatorUids: [], jwks: () => keys, tls: null };
  await assert.rejects(startApi(withApi({ access_control_allow_origins: ['*'] }), options), { code: 'CONFIG_INVALID' });
});

test('a port that is taken refuses the start in words', async () => {
  const other = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => other.once('listening', resolve));
  const { port } = other.address() as { port: number };
  const options = { controlSocket: null, operatorUids: [], jwks: () => keys, tls: null };
  await assert.rejects(startApi(withApi({ port }), options), {
    code: 'PORT_IN_USE',
    message: new RegExp(String(port)),
  });
  other.close();
});

test('a handed configuration holds every option that this process reads', async () => {
  // Whatever startApi touched is marked as read by control; adoptConfig throws on any other.
  const { configFor } = await import('@airlock/contract/config/handed');
  const handed = adoptConfig(JSON.parse(JSON.stringify(configFor(kit.deps.config, 'control'))));
  const running = await startApi(
    { ...kit.deps, config: { ...handed, api: { ...handed.api, port: 0 } } },
    { controlSocket: null, operatorUids: [], jwks: () => keys, tls: null },
  );
  assert.equal((await fetch(`${running.url}/api/v2/monitor/health`)).status, 200);
  await running.stop();
});
