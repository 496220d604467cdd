/**
 * Variables and connections that are read outside any task: by the top level of a Python Dag file, and by what watches for an
 * asset. Airflow allows it, so the mode that allows what Airflow allows does, by the team of the bundle or the trigger; each read
 * has its row in the audit log. Neither has declared a need, so where needs must be declared the answer is always the same no.
 * So it is for a bundle that a processor was not admitted for: its token reads by the teams of its own bundles.
 */
import { z } from '@airlock/contract/schema';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { SupervisorRow } from '@airlock/store/queries/supervisor/register';
import { findWatcher } from '@airlock/store/queries/trigger/watch';
import { check } from '../../http/validation.ts';
import { wire } from '../../http/wire.ts';
import { lookUp } from '../../secrets/sources.ts';
import { readConnection, readVariable } from '../../secrets/stored.ts';
import type { Call, ExecutionContext } from '../context.ts';
import { notEntitled, notFound } from '../errors.ts';
import { parsedBundle } from './bundles.ts';
import { forSupervisor } from './supervisors.ts';
import { triggerIdOf } from './triggers.ts';

const name = z.object({ name: wire.text({ min: 1, max: 250 }) });

type Kind = 'variable' | 'connection';
/** Who reads, with what is written of it, and for which team (null = of all). */
type Reader = { readonly team: string | null; readonly owner: string; readonly event: string; readonly extra: object };
type Asked = { readonly kind: Kind; readonly named: string };
/** @throws NOT_ENTITLED */
type FindReader = (context: ExecutionContext, call: Call, supervisor: SupervisorRow, asked: Asked) => Promise<Reader>;

const refusal = ({ kind, named }: Asked) => notEntitled(`${kind} ${named} outside any task`);

const bundleOf: FindReader = async (context, call, supervisor, { kind }) => {
  const bundle = await parsedBundle(context, call, supervisor);
  return { team: bundle.team, owner: 'parse', event: `parse_read_${kind}`, extra: { bundle: bundle.name } };
};

const watcherOf: FindReader = async (context, call, supervisor, asked) => {
  const triggerId = triggerIdOf(call);
  const found = await findWatcher(context.db, { triggerId, supervisorId: supervisor.id });
  if (found === null) throw refusal(asked);
  return { team: found.team, owner: 'trigger', event: `watcher_read_${asked.kind}`, extra: { trigger: triggerId } };
};

/** The team for which is read. The read is written down before anything is looked up. */
async function entitledTeam(
  context: ExecutionContext,
  call: Call,
  supervisor: SupervisorRow,
  { by, ...asked }: Asked & { readonly by: FindReader },
): Promise<string | null> {
  if (context.rights.mode === 'strict') throw refusal(asked);
  const reader = await by(context, call, supervisor, asked);
  await insertEventLog(context.db, {
    nowIso: call.nowIso,
    event: reader.event,
    owner: reader.owner,
    extra: JSON.stringify({ ...reader.extra, name: asked.named }),
  });
  return reader.team;
}

const variableFor = (by: FindReader) =>
  forSupervisor(async (context, call, supervisor) => {
    const key = check(name, { name: call.params['*'] ?? '' }, ['path']).name;
    const team = await entitledTeam(context, call, supervisor, { kind: 'variable', named: key, by });
    const value =
      (await lookUp(context.deps.secretSources, (source) => source.variable(key, team))) ??
      (await readVariable(context.db, context.box, { team, key }))?.val;
    if (value === undefined) throw notFound(`Variable with key '${key}' not found`);
    return { status: 200, body: { key, value } };
  });

const connectionFor = (by: FindReader) =>
  forSupervisor(async (context, call, supervisor) => {
    const connId = check(name, { name: call.params.conn_id ?? '' }, ['path']).name;
    const team = await entitledTeam(context, call, supervisor, { kind: 'connection', named: connId, by });
    const found =
      (await lookUp(context.deps.secretSources, (source) => source.connection(connId, team))) ??
      (await readConnection(context.db, context.box, { team, connId }));
    if (found === null) throw notFound(`Connection with ID ${connId} not found`);
    const { conn_type, host, schema, login, password, port, extra } = found;
    return { status: 200, body: { conn_id: connId, conn_type, host, schema, login, password, port, extra } };
  });

export const bundleVariable = variableFor(bundleOf);
export const bundleConnection = connectionFor(bundleOf);
export const watcherVariable = variableFor(watcherOf);
export const watcherConnection = connectionFor(watcherOf);
