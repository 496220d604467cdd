/** One of everything that can belong to a team, made directly in the database; what only its team may read says so. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { type Db, join, raw, sql } from '@airlock/store';
import { createLogStore } from '../../src/logs/log-store.ts';
import { createDagRun, ingestParseReport } from '../../src/runs/index.ts';
import type { RestKit } from '../rest-kit.ts';
import { DEFAULTS, dagDocument, mappedOver, reportOf } from './dags.ts';

export type Side = 'a' | 'b';
export const secretOf = (side: Side): string => `secret-of-${side}`;

/** Names of one set; `x` names things that were never made. */
export type Things = {
  readonly mark: string;
  readonly team: string;
  readonly dag: string;
  readonly run: string;
  readonly tag: string;
  readonly variable: string;
  readonly connection: string;
  readonly pool: string;
  readonly file: string;
  readonly fileToken: string;
  readonly importError: number;
  readonly eventLog: number;
  readonly backfill: number;
  readonly asset: number;
  readonly alias: number;
};

const NOW = '2026-06-10T09:30:00.000Z';

export function namesOf(side: Side | 'x', serial: number): Things {
  const mark = `${side}${String(serial).padStart(3, '0')}_`;
  const file = `${mark}file.ts`;
  const fileToken = createHash('sha256').update(`bundle-${side}\0${file}`).digest('base64url');
  return {
    mark,
    team: side,
    dag: `${mark}dag`,
    run: `${mark}run`,
    tag: `${mark}tag`,
    variable: `${mark}variable`,
    connection: `${mark}connection`,
    pool: `${mark}pool`,
    file,
    fileToken,
    importError: 999_000 + serial,
    eventLog: 999_000 + serial,
    backfill: 999_000 + serial,
    asset: 999_000 + serial,
    alias: 999_000 + serial,
  };
}

/** POSTs that list take any Dag in the path. */
const ANY_DAG = /\/list$/;

/** The path of a route that asks for these things, and for nothing else. */
export function pathOf(route: string, things: Things): string {
  const path = route.slice(route.indexOf(' ') + 1);
  const any = ANY_DAG.test(path) && route.startsWith('POST');
  const values: Record<string, string> = {
    dag_id: any ? '~' : things.dag,
    dag_run_id: any ? '~' : things.run,
    group_id: 'group',
    task_id: path.endsWith('/listMapped') ? 'each' : 'task',
    map_index: '-1',
    try_number: '1',
    task_try_number: '1',
    version_number: '1',
    connection_id: things.connection,
    import_error_id: String(things.importError),
    event_log_id: String(things.eventLog),
    backfill_id: String(things.backfill),
    asset_id: String(things.asset),
    asset_alias_id: String(things.alias),
    file_token: things.fileToken,
  };
  const free = path.startsWith('/variables') ? things.variable : path.startsWith('/pools') ? things.pool : 'k';
  return path
    .replace(
      /:(\w+)/g,
      (_, name: string) => values[name] ?? assert.fail(`${route}: no value for :${name}; add it here`),
    )
    .replace('*', free);
}

/** Makes the teams `a` and `b` with a bundle each. */
export async function makeTeams(db: Db): Promise<void> {
  await db.query(sql`INSERT INTO team (name) VALUES ('a'), ('b')`);
  await db.query(
    sql`INSERT INTO dag_bundle (name, kind, path, team) VALUES ('bundle-a', 'local', '/a', 'a'), ('bundle-b', 'local', '/b', 'b')`,
  );
}

export async function makeThings(
  kit: Pick<RestKit, 'database' | 'logFolder'>,
  side: Side,
  serial: number,
): Promise<Things> {
  const names = namesOf(side, serial);
  const secret = secretOf(side);
  const { db } = kit.database;
  await db.transaction(async (tx) => {
    const document = dagDocument(
      names.dag,
      [{ id: 'list' }, { id: 'task', doc_md: secret }, { id: 'each', after: ['list'], ...mappedOver('list') }],
      {
        tags: [names.tag],
        dag_display_name: secret,
        description: secret,
        relative_fileloc: names.file,
        task_group: {
          _group_id: null,
          children: { group: ['taskgroup', { _group_id: 'group', children: { task: ['operator', 'task'] } }] },
        },
      },
    );
    const report = reportOf(names.file, [document], { source: `// ${secret}` });
    await ingestParseReport(tx, { bundleName: `bundle-${side}`, report, nowIso: NOW, defaults: DEFAULTS });
    const run = await createDagRun(tx, {
      dagId: names.dag,
      runId: names.run,
      runType: 'manual',
      triggeredBy: 'rest_api',
      triggeringUserName: secret,
      logicalDate: null,
      conf: { of: secret },
      note: secret,
      noteUser: 'somebody',
      nowIso: NOW,
    });
    await tx.query(
      sql`UPDATE task_instance SET hostname = ${secret}, try_number = 1, state = 'failed', note = ${secret}
        WHERE dag_id = ${names.dag} AND task_id = 'task'`,
    );
    await tx.query(
      sql`INSERT INTO xcom (dag_run_id, task_id, map_index, key, dag_id, run_id, value, at)
        VALUES (${run.id}, 'task', -1, 'k', ${names.dag}, ${names.run}, ${JSON.stringify(secret)}::json, ${NOW})`,
    );
    await tx.query(
      sql`INSERT INTO dag_warning (dag_id, warning_type, message, at)
        VALUES (${names.dag}, 'non-existent pool', ${secret}, ${NOW})`,
    );
  });
  const logs = createLogStore({ root: kit.logFolder, maxBytes: 10_000 });
  const ref = { dagId: names.dag, runId: names.run, taskId: 'task', mapIndex: -1, tryNumber: 1 };
  await logs.append(ref, { base: 0, offset: 0 }, Buffer.from(`${secret}\n`));
  await db.query(
    sql`INSERT INTO variable (team, key, val, description) VALUES (${side}, ${names.variable}, ${secret}, ${secret})`,
  );
  await db.query(
    sql`INSERT INTO connection (team, conn_id, conn_type, description, host)
      VALUES (${side}, ${names.connection}, 'http', ${secret}, ${secret})`,
  );
  await db.query(
    sql`INSERT INTO slot_pool (team, name, slots, description) VALUES (${side}, ${names.pool}, 3, ${secret})`,
  );
  const [error] = await db.query<{ id: number }>(
    sql`INSERT INTO import_error (bundle_name, filename, stack_trace, at)
      VALUES (${`bundle-${side}`}, ${`${names.mark}broken.ts`}, ${secret}, ${NOW}) RETURNING id`,
  );
  const [event] = await db.query<{ id: number }>(
    sql`INSERT INTO event_log (at, event, owner, dag_id, extra)
      VALUES (${NOW}, 'trigger_dag_run', 'somebody', ${names.dag}, ${secret}) RETURNING id`,
  );
  const [backfill] = await db.query<{ id: number }>(
    sql`INSERT INTO backfill (dag_id, from_date, to_date, dag_run_conf, reprocess_behavior, max_active_runs, created_at, updated_at)
      VALUES (${names.dag}, ${NOW}, ${NOW}, ${JSON.stringify({ of: secret })}::json, 'none', 1, ${NOW}, ${NOW}) RETURNING id`,
  );
  const ids = await makeAsset(db, names, secret);
  await keepStates(db, names, ids.asset, secret);
  // One that names no Dag: what it is about can't be told from the row.
  await db.query(
    sql`INSERT INTO event_log (at, event, owner, extra) VALUES (${NOW}, 'post_variable', ${`user-of-${side}`}, ${secret})`,
  );
  return { ...names, importError: error!.id, eventLog: event!.id, backfill: backfill!.id, ...ids };
}

/** An asset and an alias that the Dag names, with an event that the run has consumed and one that waits. */
async function makeAsset(db: Db, names: Things, secret: string): Promise<{ asset: number; alias: number }> {
  const extra = JSON.stringify({ of: secret });
  const [asset] = await db.query<{ id: number }>(
    sql`INSERT INTO asset (name, uri, asset_group, extra, active, created_at, updated_at)
      VALUES (${`${names.mark}asset`}, ${`x-${secret}://${names.mark}`}, ${secret}, ${extra}::json, true, ${NOW}, ${NOW})
      RETURNING id`,
  );
  const [alias] = await db.query<{ id: number }>(
    sql`INSERT INTO asset_alias (name, alias_group, created_at) VALUES (${`${names.mark}alias`}, ${secret}, ${NOW}) RETURNING id`,
  );
  for (const [role, task] of [
    ['schedule', ''],
    ['outlet', 'task'],
    ['inlet', 'task'],
  ]) {
    await db.query(
      sql`INSERT INTO asset_reference (dag_id, role, task_id, kind, asset_id, created_at)
        VALUES (${names.dag}, ${role}, ${task}, 'asset', ${asset!.id}, ${NOW})`,
    );
  }
  await db.query(
    sql`INSERT INTO asset_reference (dag_id, role, task_id, kind, alias_id, created_at)
      VALUES (${names.dag}, 'outlet', 'task', 'alias', ${alias!.id}, ${NOW})`,
  );
  await db.query(
    sql`WITH e AS (INSERT INTO asset_event (asset_id, extra, source_dag_id, source_run_id, source_task_id, at)
        VALUES (${asset!.id}, ${extra}::json, ${names.dag}, ${names.run}, 'task', ${NOW}) RETURNING id)
      INSERT INTO dag_run_asset_event (dag_run_id, event_id) SELECT r.id, e.id FROM e, dag_run r WHERE r.dag_id = ${names.dag}`,
  );
  await db.query(
    sql`INSERT INTO asset_queued (dag_id, asset_id, created_at) VALUES (${names.dag}, ${asset!.id}, ${NOW})`,
  );
  return { asset: asset!.id, alias: alias!.id };
}

/** What the task and the asset keep, and what the task asks people. */
async function keepStates(db: Db, names: Things, asset: number, secret: string): Promise<void> {
  const value = JSON.stringify(secret);
  await db.query(
    sql`INSERT INTO task_state (dag_run_id, task_id, map_index, key, value, updated_at)
      SELECT id, 'task', -1, 'k', ${value}::json, ${NOW} FROM dag_run WHERE dag_id = ${names.dag}`,
  );
  await db.query(
    sql`INSERT INTO asset_state (asset_id, key, value, updated_at) VALUES (${asset}, 'k', ${value}::json, ${NOW})`,
  );
  await db.query(
    sql`INSERT INTO hitl_detail (ti_id, dag_run_id, dag_id, run_id, task_id, map_index, options, subject, multiple, params,
        assigned_users, created_at)
      SELECT id, dag_run_id, dag_id, run_id, task_id, -1, ${['A']}::text[], ${secret}, false, '{}', '[]', ${NOW}
      FROM task_instance WHERE dag_id = ${names.dag} AND task_id = 'task'`,
  );
}

function sqlByDag(table: string) {
  return sql`SELECT ${table}::text, t::text FROM ${raw(table)} t WHERE t.dag_id LIKE 'b%'`;
}

const OWNED = [
  ...[
    'dag',
    'dag_run',
    'task_instance',
    'task_instance_history',
    'dag_version',
    'dag_tag',
    'dag_warning',
    'xcom',
    'backfill',
    'asset_queued',
    'hitl_detail',
  ].map((table) => sqlByDag(table)),
  sql`SELECT 'dag_favorite', f::text FROM dag_favorite f WHERE dag_id LIKE 'b%'`,
  sql`SELECT 'task_state', s::text FROM task_state s JOIN dag_run r ON r.id = s.dag_run_id WHERE r.dag_id LIKE 'b%'`,
  sql`SELECT 'asset_state', s::text FROM asset_state s JOIN asset a ON a.id = s.asset_id WHERE a.name LIKE 'b%'`,
  sql`SELECT 'asset_event', e::text FROM asset_event e JOIN asset a ON a.id = e.asset_id WHERE a.name LIKE 'b%'`,
  sql`SELECT 'variable', v::text FROM variable v WHERE team = 'b' OR key LIKE 'b%'`,
  sql`SELECT 'connection', c::text FROM connection c WHERE team = 'b' OR conn_id LIKE 'b%'`,
  sql`SELECT 'slot_pool', p::text FROM slot_pool p WHERE team = 'b' OR name LIKE 'b%'`,
  sql`SELECT 'import_error', e::text FROM import_error e WHERE bundle_name = 'bundle-b'`,
  sql`SELECT 'dag_file', f::text FROM dag_file f WHERE bundle_name = 'bundle-b'`,
];
/** Digest of all that belongs to team b; any write to it changes it. */
export async function fingerprintOfB(db: Db): Promise<string> {
  const [row] = await db.query<{ digest: string }>(
    sql`SELECT md5(string_agg(all_rows.r, E'\n' ORDER BY all_rows.r)) AS digest
      FROM (${join(OWNED, ' UNION ALL ')}) all_rows (kind, r)`,
  );
  return row!.digest;
}
