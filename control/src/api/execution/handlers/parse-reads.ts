/**
 * Variables and connections that the top level of a Python Dag file reads. Airflow allows it, so the mode that allows what
 * Airflow allows does, by the team of the bundle; each read has its row in the audit log. No file has declared a need before it
 * has been parsed, so where needs must be declared the answer is always the same no.
 */
import { z } from '@airlock/contract/schema';
import { findBundle } from '@airlock/store/queries/dag/ingest';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import { check } from '../../http/validation.ts';
import { wire } from '../../http/wire.ts';
import { lookUp } from '../../secrets/sources.ts';
import { readConnection, readVariable } from '../../secrets/stored.ts';
import type { Call, ExecutionContext } from '../context.ts';
import { notEntitled, notFound } from '../errors.ts';
import { forSupervisor } from './supervisors.ts';

const name = z.object({ name: wire.text({ min: 1, max: 250 }) });

/** The team of the bundle that may read; null = of all. Its read is written down before anything is looked up. */
async function entitledTeam(
  context: ExecutionContext,
  call: Call,
  kind: 'variable' | 'connection',
  named: string,
): Promise<string | null> {
  const bundleName = call.params.bundle_name ?? '';
  const bundle = context.rights.mode === 'strict' ? null : await findBundle(context.db, bundleName);
  if (bundle === null) throw notEntitled(`${kind} ${named} at parse, bundle ${bundleName}`);
  await insertEventLog(context.db, {
    nowIso: call.nowIso,
    event: `parse_read_${kind}`,
    owner: 'parse',
    extra: JSON.stringify({ bundle: bundleName, name: named }),
  });
  return bundle.team;
}

export const bundleVariable = forSupervisor(async (context, call) => {
  const key = check(name, { name: call.params['*'] ?? '' }, ['path']).name;
  const team = await entitledTeam(context, call, 'variable', key);
  const value =
    (await lookUp(context.deps.secretSources, (source) => source.variable(key, team))) ??
    (await readVariable(context.db, context.box, { team, key }))?.val;
  if (value === undefined) throw notFound(`Variable with key '${key}' not found`);
  return { status: 200, body: { key, value } };
});

export const bundleConnection = forSupervisor(async (context, call) => {
  const connId = check(name, { name: call.params.conn_id ?? '' }, ['path']).name;
  const team = await entitledTeam(context, call, 'connection', connId);
  const found =
    (await lookUp(context.deps.secretSources, (source) => source.connection(connId, team))) ??
    (await readConnection(context.db, context.box, { team, connId }));
  if (found === null) throw notFound(`Connection with ID ${connId} not found`);
  const { conn_type, host, schema, login, password, port, extra } = found;
  return { status: 200, body: { conn_id: connId, conn_type, host, schema, login, password, port, extra } };
});
