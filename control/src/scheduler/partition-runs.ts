/**
 * Makes the runs that partitions of assets ask for: maps the keys of events to those of the Dags that listen, and makes a run
 * for each partition for which enough has come. @see scheduling semantics 3.4
 */
import { randomBytes } from 'node:crypto';
import type { Database, Db } from '@airlock/store';
import {
  consumePartition,
  dropPartitions,
  findArrivals,
  findPartitionDags,
  findUnmapped,
  mapPartitions,
  markSeen,
  type PartitionArrival,
  type PartitionDag,
  type UnmappedEvent,
  unmapPartitions,
} from '@airlock/store/queries/asset/partitions';
import { lockDags } from '@airlock/store/queries/asset/triggered';
import { insertEventLog } from '@airlock/store/queries/event-log/insert';
import type { DagModel } from '../domain/dag-model.ts';
import { instantIso } from '../domain/instants.ts';
import { type PartitionMapper, type PartitionSchedule, suffices } from '../domain/partitions/index.ts';
import { generateRunId } from '../domain/run-id.ts';
import { loadModels } from '../runs/models.ts';
import { type CreateResult, insertAutomaticRun } from './create-runs.ts';

/** Most events that are mapped, and partitions that are looked at, for one Dag in one transaction. */
const MOST_AT_ONCE = 500;
/** Most Dags in one transaction. */
const MOST_DAGS = 10;
/** As long as a partition key may be. */
const MAX_KEY = 250;

export type PartitionRunOptions = {
  readonly nowMs: number;
  /** `[scheduler] partition_mapper_max_downstream_keys`. */
  readonly maxKeys: number;
};

/** Most of the time there is nothing: then it is one read, and no transaction. */
export async function createPartitionRuns(db: Database, options: PartitionRunOptions): Promise<CreateResult> {
  const waiting = await findPartitionDags(db);
  if (waiting.length === 0) return { created: [], more: false, denied: [] };
  const dagIds = waiting.slice(0, MOST_DAGS).map((dag) => dag.dag_id);
  const made = await db.transaction((tx) => makeRuns(tx, dagIds, options));
  return { ...made, more: made.more || waiting.length > MOST_DAGS };
}

/** Locks: the dag rows, then their asset_partition_event rows. */
async function makeRuns(tx: Db, dagIds: readonly string[], options: PartitionRunOptions): Promise<CreateResult> {
  const locked = await lockDags(tx, dagIds);
  // Looked at again under the lock: another scheduler may have been here.
  const dags = locked.length === 0 ? [] : await findPartitionDags(tx, locked);
  const models = await loadModels(
    tx,
    dags.map((dag) => dag.current_version_id),
  );
  const created: number[] = [];
  const denied: string[] = [];
  let more = false;
  for (const dag of dags) {
    const model = models.get(dag.current_version_id);
    if (!model) continue;
    const schedule = model.timetable.partitions?.schedule;
    if (!schedule) {
      await dropPartitions(tx, dag.dag_id);
      continue;
    }
    const mapped = await mapEvents(tx, dag.dag_id, schedule, options);
    const made = await makePartitions(tx, dag, model, schedule, options.nowMs);
    created.push(...made.created);
    if (made.denied) denied.push(dag.dag_id);
    more ||= mapped >= MOST_AT_ONCE || made.more;
  }
  return { created, denied, more };
}

/** @returns how many events were looked at */
async function mapEvents(
  tx: Db,
  dagId: string,
  schedule: PartitionSchedule,
  { nowMs, maxKeys }: PartitionRunOptions,
): Promise<number> {
  const { definition } = schedule;
  await unmapPartitions(tx, { dagId, definition });
  const events = await findUnmapped(tx, dagId, MOST_AT_ONCE);
  if (events.length === 0) return 0;
  const targets: Array<{ event_id: number; key: string }> = [];
  for (const event of events) {
    const answer = keysOf(schedule.mapperOf(event), event, maxKeys);
    if ('problem' in answer) {
      await insertEventLog(tx, {
        nowIso: instantIso(nowMs),
        event: answer.event,
        owner: null,
        dagId,
        extra: JSON.stringify({
          asset: event.name,
          uri: event.uri,
          partition_key: event.partition_key,
          problem: answer.problem,
        }),
      });
    } else for (const key of answer.keys) targets.push({ event_id: event.event_id, key });
  }
  await mapPartitions(tx, { dagId, definition, ids: events.map((event) => event.id), targets });
  return events.length;
}

type Mapped = { readonly keys: readonly string[] } | { readonly event: string; readonly problem: string };

function keysOf(mapper: PartitionMapper, { partition_key: from }: UnmappedEvent, maxKeys: number): Mapped {
  const failed = (problem: string): Mapped => ({ event: 'failed to map partition_key', problem });
  try {
    const keys = mapper.keysOf(from);
    const most = mapper.maxKeys ?? maxKeys;
    if (keys.length > most) {
      return { event: 'partition fan-out exceeded', problem: `${keys.length} partitions, and ${most} are allowed` };
    }
    if (keys.some((key) => key.trim() === '' || key.length > MAX_KEY)) return failed('a key is empty or too long');
    return { keys };
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return failed(error.message);
  }
}

async function makePartitions(
  tx: Db,
  dag: PartitionDag,
  model: DagModel,
  schedule: PartitionSchedule,
  nowMs: number,
): Promise<{ created: number[]; more: boolean; denied: boolean }> {
  const partitions = Map.groupBy(await findArrivals(tx, dag.dag_id, MOST_AT_ONCE), (row) => row.target_key);
  const created: number[] = [];
  const waiting: string[] = [];
  let { room } = dag;
  const denied = dag.allowed_run_types !== null && !dag.allowed_run_types.includes('asset_triggered');
  for (const [key, arrivals] of partitions) {
    if (!satisfied(model, schedule, key, arrivals)) waiting.push(key);
    else if (denied) await consumePartition(tx, { dagId: dag.dag_id, key, dagRunId: null });
    else if (room > 0) {
      const id = await makeRun(tx, dag, model, { key, dateMs: dateOf(schedule, key, arrivals) }, nowMs);
      if (id === null) continue;
      await consumePartition(tx, { dagId: dag.dag_id, key, dagRunId: id });
      created.push(id);
      room--;
    }
  }
  if (waiting.length > 0) await markSeen(tx, dag.dag_id, waiting);
  return {
    created,
    more: partitions.size >= MOST_AT_ONCE && room > 0,
    denied: denied && partitions.size > waiting.length,
  };
}

function satisfied(model: DagModel, schedule: PartitionSchedule, key: string, arrivals: readonly PartitionArrival[]) {
  const assets = [...Map.groupBy(arrivals, (row) => row.asset_id).values()];
  const enough = assets.filter((rows) => {
    try {
      return suffices(schedule.mapperOf(rows[0]!), key, new Set(rows.map((row) => row.partition_key)));
    } catch (error) {
      // A key that came by one asset's mapper and that another's can't read is never complete.
      if (error instanceof RangeError) return false;
      throw error;
    }
  });
  return model.assetCondition?.(enough.map((rows) => rows[0]!)) ?? false;
}

/**
 * The date that the mappers read from the key. Where none does, that of the runs which made the events, by mappers that carry
 * it. Null where they do not agree.
 */
function dateOf(schedule: PartitionSchedule, key: string, arrivals: readonly PartitionArrival[]): number | null {
  const read = new Set<number>();
  const carried = new Set<number>();
  for (const arrival of arrivals) {
    const mapper = schedule.mapperOf(arrival);
    try {
      const ms = mapper.dateOf(key);
      if (ms !== null) read.add(ms);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return null;
    }
    if (mapper.carriesDate && arrival.partition_date !== null) carried.add(Date.parse(arrival.partition_date));
  }
  const dates = read.size > 0 ? read : carried;
  return dates.size === 1 ? [...dates][0]! : null;
}

async function makeRun(
  tx: Db,
  dag: PartitionDag,
  model: DagModel,
  partition: { readonly key: string; readonly dateMs: number | null },
  nowMs: number,
): Promise<number | null> {
  const runAfter = instantIso(nowMs);
  return insertAutomaticRun(tx, dag, model, {
    runType: 'asset_triggered',
    triggeredBy: 'asset',
    runId: generateRunId('asset_triggered', runAfter, randomBytes(4).toString('hex')),
    logicalDate: null,
    interval: null,
    runAfter,
    partition,
    nowIso: runAfter,
  });
}
