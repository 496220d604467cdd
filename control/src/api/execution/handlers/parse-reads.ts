/**
 * Variables and connections that the top level of a Python Dag file reads. Airflow allows it, so the mode that allows what
 * Airflow allows does, by the team of the bundle; each read has its row in the audit log. No file has declared a need before it
 * has been parsed, so where needs must be declared the answer is always the same no. So it is for a bundle that this processor
 * was not admitted for: its token reads by the teams of its own bundles.
 */
import { z } from '@airlock/contract/schema';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { SupervisorRow } from '@airlock/store/queries/supervisor/register';
import { check } from '../../http/validation.ts';
import { wire } from '../../http/wire.ts';
import { lookUp } from '../../secrets/sources.ts';
import { readConnection, readVariable } from '../../secrets/stored.ts';
import type { Call, ExecutionContext } from '../context.ts';
import { notEntitled, notFound } from '../errors.ts';
import { parsedBundle } from './bundles.ts';
import { forSupervisor } from './supervisors.ts';

const name = z.object({ name: wire.text({ min: 1, max: 250 }) });

/** The team of the bundle that may read; null = of all. Its read is written down before anything is looked up. */
async function entitledTeam(
  context: ExecutionContext,
  call: Call,
  supervisor: SupervisorRow,
  kind: 'variable' | 'connection',
  named: string,
): Promise<string | null> {
  if (context.rights.mode === 'strict') throw notEntitled(`bundle ${call.params.bundle_name ?? ''}`);
  const bundle = await parsedBundle(context, call, supervisor);
  await insertEventLog(context.db, {
    nowIso: call.nowIso,
    event: `parse_read_${kind}`,
    owner: 'parse',
    extra: JSON.stringify({ bundle: bundle.name, name: named }),
  });
  return bundle.team;
}

export const bundleVariable = forSupervisor(async (context, call, supervisor) => {
  const key = check(name, { name: call.params['*'] ?? '' }, ['path']).name;
  const team = await entitledTeam(context, call, supervisor, 'variable', key);
  const value =
    (await lookUp(context.deps.secretSources, (source) => source.variable(key, team))) ??
    (await readVariable(context.db, context.box, { team, key }))?.val;
  if (value === undefined) throw notFound(`Variable with key '${key}' not found`);
  return { status: 200, body: { key, value } };
});

export const bundleConnection = forSupervisor(async (context, call, supervisor) => {
  const connId = check(name, { name: call.params.conn_id ?? '' }, ['path']).name;
  const team = await entitledTeam(context, call, supervisor, 'connection', connId);
  const found =
    (await lookUp(context.deps.secretSources, (source) => source.connection(connId, team))) ??
    (await readConnection(context.db, context.box, { team, connId }));
  if (found === null) throw notFound(`Connection with ID ${connId} not found`);
  const { conn_type, host, schema, login, password, port, extra } = found;
  return { status: 200, body: { conn_id: connId, conn_type, host, schema, login, password, port, extra } };
});
