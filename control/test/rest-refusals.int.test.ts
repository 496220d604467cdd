/**
 * Every refusal that our OpenAPI document names, provoked at least once. What was seen is docs/rest-api-statuses.md;
 * `UPDATE_DOCS=1` writes it.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { sql } from '@airlock/store';
import { REST_PREFIX, REST_ROUTES } from '../src/api/rest/index.ts';
import { type OpenApiOperation, openApiDocument } from '../src/api/rest/openapi.ts';
import { dagDocument, ingest, withBundle } from './kit/dags.ts';
import { type Call, callsBy, operations, pathOf, RUN, TI } from './kit/rest-calls.ts';
import { makeTeams, makeThings, namesOf, type Things } from './kit/teams.ts';
import { type Answer, type RestKit, restKit } from './rest-kit.ts';

let kit: RestKit;
const db = () => kit.database.db;
const CALLS = callsBy(db);
before(async () => {
  kit = await restKit({ config: { AIRLOCK__API__EXPOSE_CONFIG: 'True', AIRLOCK__CORE__TEST_CONNECTION: 'Enabled' } });
  await withBundle(db());
  await makeTeams(db());
});
after(() => kit[Symbol.asyncDispose]());

const PAGE = new URL('../../docs/rest-api-statuses.md', import.meta.url);
const document = openApiDocument(REST_ROUTES, REST_PREFIX);
/** What is served under the names of the reference: our own few routes have tests of their own. */
const served = [...operations.keys()].map((name) => {
  const [method, path] = name.split(' ');
  return [name, document.paths[REST_PREFIX + path]![method!.toLowerCase()]!] as const;
});

type Wanted = Call & { readonly path?: string };
type Provocation = (t: Things) => Wanted;
const busy = (t: Things) => () => db().query(sql`UPDATE task_instance SET state = 'running' WHERE dag_id = ${t.dag}`);

const complete = (t: Things): Wanted => ({
  prepare: () => db().query(sql`UPDATE backfill SET completed_at = now() WHERE id = ${t.backfill}`),
});
/** A Dag that allows no backfill. */
const noBackfills = (t: Things): Wanted => {
  const dagId = `${t.mark}manual`;
  const timetable = {
    __type: 'airflow.timetables.trigger.CronTriggerTimetable',
    __var: { expression: '0 0 * * *', timezone: 'UTC', interval: 0, run_immediately: false },
  };
  const document = dagDocument(dagId, [{ id: 'a' }], {
    timetable,
    start_date: 1704067200,
    allowed_run_types: ['manual'],
  });
  const at = '2024-01-01T00:00:00Z';
  return {
    prepare: () => ingest(db(), `${dagId}.ts`, [document], at),
    json: { dag_id: dagId, from_date: at, to_date: at },
  };
};

/** Where the general ways below do not do. */
const SPECIAL: Readonly<Record<string, Provocation>> = {
  'POST /assets/{asset_id}/materialize 400': () => ({ json: { dag_run_id: 'a/b' } }),
  'POST /assets/{asset_id}/materialize 409': (t) => {
    const json = { dag_run_id: 'same' };
    return { prepare: () => kit.as.admin('POST', `/assets/${t.asset}/materialize`, json), json };
  },
  'GET /assets/{asset_id}/queuedEvents 400': () => ({ query: 'before=odd' }),
  'GET /dags/{dag_id}/assets/queuedEvents 400': () => ({ query: 'before=odd' }),
  'POST /backfills 400': noBackfills,
  'POST /backfills/dry_run 400': noBackfills,
  'PUT /backfills/{backfill_id}/pause 409': complete,
  'PUT /backfills/{backfill_id}/unpause 409': complete,
  'PATCH /connections/{connection_id} 400': () => ({ json: { connection_id: 'another', conn_type: 'http' } }),
  [`DELETE ${RUN} 409`]: (t) => ({
    prepare: () => db().query(sql`UPDATE dag_run SET state = 'running' WHERE dag_id = ${t.dag}`),
  }),
  'POST /dags/{dag_id}/dagRuns 400': () => ({ json: { logical_date: null, dag_run_id: 'a/b' } }),
  'POST /dags/{dag_id}/dagRuns/list 400': () => ({ json: { order_by: 'nothing' } }),
  'POST /dags/{dag_id}/clearDagRuns 400': () => ({ path: '/dags/~/clearDagRuns', json: { partition_key: 'k' } }),
  'GET /config 404': () => ({ query: 'section=nothing' }),
  'GET /config/section/{section}/option/{option} 404': () => ({ path: '/config/section/core/option/nothing' }),
  'PATCH /dags 400': (t) => ({ query: `dag_id_pattern=${t.dag}&update_mask=tags`, json: { is_paused: true } }),
  'PATCH /dags/{dag_id} 400': () => ({ query: 'update_mask=tags', json: { is_paused: true } }),
  'DELETE /dags/{dag_id} 409': (t) => ({ prepare: busy(t) }),
  'GET /eventLogs/{event_log_id} 400': () => ({ path: '/eventLogs/odd' }),
  'DELETE /pools/{pool_name} 400': () => ({ path: '/pools/default_pool' }),
  'PATCH /pools/{pool_name} 400': () => ({ json: { name: 'another', slots: 1, include_deferred: false } }),
  [`POST ${TI}/list 400`]: () => ({ json: { order_by: 'nothing' } }),
  'POST /dags/{dag_id}/clearTaskInstances 400': (t) => ({ json: { dag_run_id: t.run, include_past: true } }),
  'POST /dags/{dag_id}/clearTaskInstances 409': (t) => ({
    prepare: busy(t),
    json: { dag_run_id: t.run, dry_run: false, only_failed: false, prevent_running_task: true },
  }),
  'PATCH /variables/{variable_key} 400': () => ({ json: { key: 'another', value: 'v' } }),
  [`GET ${TI}/{task_id}/logs/{try_number} 400`]: () => ({ query: 'token=forged' }),
  [`PATCH ${TI}/{task_id}/{map_index}/hitlDetails 400`]: () => ({ json: { chosen_options: ['Z'] } }),
  'GET /auth/login 400': () => ({ query: 'next=https://elsewhere.example/' }),
};

/** A value that no schema of a parameter or a body takes. */
function misfit(name: string, operation: OpenApiOperation, t: Things): Wanted {
  if (operation.requestBody) return { json: [] };
  const odd = operation.parameters.find(({ schema }) => schema.type !== 'string' && schema.type !== 'array');
  if (odd?.in === 'query') return { ...CALLS[name]?.(t), query: `${odd.name}=odd` };
  if (odd) return { path: pathOf(name.replace(`{${odd.name}}`, 'odd'), t) };
  const list = operation.parameters.find(({ schema }) => schema.type === 'array')!;
  return { query: Array(1001).fill(`${list.name}=a`).join('&') };
}

/** What to try for a status, one after the other. */
function attempts(name: string, status: number, operation: OpenApiOperation, t: Things): Wanted[] {
  const special = SPECIAL[`${name} ${status}`];
  if (special) return [special(t)];
  const usual = CALLS[name]?.(t) ?? {};
  const { prepare: _, ...bare } = usual;
  if (status === 400) return [{ ...usual, query: `${usual.query ? `${usual.query}&` : ''}order_by=nothing` }];
  if (status === 404) {
    const nobody = namesOf('x', Number(t.mark.slice(1, 4)));
    const { prepare, ...asked } = CALLS[name]?.(nobody) ?? {};
    return [{ ...asked, path: pathOf(name, nobody) }];
  }
  if (status === 406) return [{ headers: { accept: 'text/html' } }];
  // Done once, it can't be done again.
  if (status === 409) return [usual, bare];
  if (status === 422) return [misfit(name, operation, t)];
  return [bare];
}

async function ask(name: string, wanted: Wanted, status: number, t: Things): Promise<Answer> {
  await wanted.prepare?.();
  const path = (wanted.path ?? pathOf(name, t)).replace(/^\/auth/, '/auth/../api/v2/auth');
  const caller = status === 401 ? kit.anonymous : status === 403 ? kit.withToken('no.token.atall') : kit.as.admin;
  const url = `${path}${wanted.query ? `?${wanted.query}` : ''}`;
  return caller(name.split(' ')[0]!, url, wanted.json, wanted.headers);
}

const seen = new Map<string, number[]>();
for (const [serial, [name, operation]] of served.entries()) {
  test(`${name} refuses in each way that its document names`, async () => {
    const t = await makeThings(kit, 'a', serial);
    const refusals = Object.keys(operation.responses)
      .map(Number)
      .filter((status) => status >= 400);
    seen.set(name, []);
    for (const status of refusals) {
      const answers: Answer[] = [];
      for (const wanted of attempts(name, status, operation, t)) answers.push(await ask(name, wanted, status, t));
      const met = answers.find((answer) => answer.status === status);
      assert.ok(met, `${status}: ${answers.map((each) => `${each.status} ${each.text.slice(0, 200)}`).join(' / ')}`);
      assert.equal(met.headers.get('content-type'), 'application/json');
      seen.get(name)!.push(status);
    }
  });
}

test('the page lists what was seen', (t) => {
  const rows = served.map(([name, { responses, summary }]) => {
    const success = Object.keys(responses).find((status) => status < '400');
    const theirs = Object.keys(operations.get(name)!.responses).filter(
      (status) => status >= '400' && !(status in responses),
    );
    return `| \`${name}\` | ${summary} | ${success} | ${seen.get(name)!.join(' ')} | ${theirs.join(' ')} |`;
  });
  const count = [...seen.values()].flat().length;
  t.diagnostic(`${served.length} operations, ${count} refusals that the document names, ${count} provoked`);
  const page = `# Statuses of the REST API

Each operation of Airflow's document with the status of a success and every refusal that [openapi.json](../control/src/api/rest/openapi.ts) names for it. Made by
\`control/test/rest-refusals.int.test.ts\`, which provokes each of them: \`UPDATE_DOCS=1 npm run test:one -- rest-refusals\`. Successes: \`control/test/rest-contract.int.test.ts\`.
The last column has what Airflow's document names besides: mostly 400 and 404 of lists, and 503 of its SQLite. No request is known that gets one of them here.

${served.length} operations, ${count} refusals.

| Operation | What it does | Success | Refusals | Named by Airflow alone |
|---|---|---|---|---|
${rows.join('\n')}
`;
  if (process.env.UPDATE_DOCS) writeFileSync(PAGE, page);
  assert.equal(readFileSync(PAGE, 'utf8'), page);
});
