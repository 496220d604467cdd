/**
 * From the timetable of a document to one that answers questions. A closed table by class path: any other path is a class of
 * the author's own, which a dag-processor asks in a sandboxed child. @see serialized Dag 4.3; decision 24
 */
import type { TimetableDocument } from '@airlock/contract/dag/document';
import { AppError } from '@airlock/contract/errors';
import { namedIn, readPartitionSchedule } from '../partitions/index.ts';
import { asked } from './asked.ts';
import { cronDataInterval, cronPartition, cronTrigger, type RunImmediately } from './cron.ts';
import { type Duration, isPositive, readDuration } from './duration.ts';
import { continuous, deltaDataInterval, deltaTrigger, events, never, once } from './simple.ts';
import type { Partitions, Timetable } from './types.ts';

export type { Interval, LastRun, NextRun, Restriction, Timetable } from './types.ts';

type Fields = Readonly<Record<string, unknown>>;
const PREFIX = 'airflow.timetables.';
/** Where a class may be: a module, and a name in it. */
const PYTHON_CLASS = /^(?:[\p{L}_][\p{L}\p{N}_]*\.)+[\p{L}_][\p{L}\p{N}_]*$/u;
/** Longest expression or key format, characters, and most of them in a list. */
const MAX_TEXT = 1000;
const MAX_TEXTS = 10_000;

const BUILDERS: Readonly<Record<string, (type: string, fields: Fields) => Timetable>> = {
  'simple.NullTimetable': (type) => never(type, 'None', 'Never, external triggers only'),
  'simple.OnceTimetable': (type) => once(type),
  'simple.ContinuousTimetable': (type) => continuous(type),
  'simple.PartitionedAtRuntime': (type) => ({
    ...never(type, 'PartitionedAtRuntime', 'Never, partition key(s) set at runtime'),
    takesPartitions: true,
  }),
  'simple.AssetTriggeredTimetable': (type) => never(type, 'Asset', 'Triggered by assets'),
  'simple.PartitionedAssetTimetable': (type, fields) => ({
    ...never(type, 'Partitioned Asset', 'Triggered by assets'),
    partitioned: true,
    takesPartitions: true,
    partitions: assetPartitions(fields),
  }),
  'trigger.CronTriggerTimetable': (type, fields) =>
    cronTrigger(type, {
      expressions: [text(fields, 'expression')],
      timezone: timezone(fields),
      interval: interval(fields),
      runImmediately: runImmediately(fields),
    }),
  'trigger.MultipleCronTriggerTimetable': (type, fields) =>
    cronTrigger(type, {
      expressions: texts(fields, 'expressions'),
      timezone: timezone(fields),
      interval: interval(fields),
      runImmediately: runImmediately(fields),
    }),
  'trigger.CronPartitionTimetable': (type, fields) =>
    cronPartition(type, {
      expression: text(fields, 'expression'),
      timezone: timezone(fields),
      runImmediately: runImmediately(fields),
      offset: offset(fields),
      keyFormat: text(fields, 'key_format'),
    }),
  'trigger.DeltaTriggerTimetable': (type, fields) => deltaTrigger(type, delta(fields), interval(fields)),
  'interval.CronDataIntervalTimetable': (type, fields) =>
    cronDataInterval(type, text(fields, 'expression'), timezone(fields)),
  'interval.DeltaDataIntervalTimetable': (type, fields) => deltaDataInterval(type, delta(fields)),
  'events.EventsTimetable': (type, fields) =>
    events(type, texts(fields, 'event_dates').map(instant), fields.restrict_to_events === true, {
      summary: shownText(fields._summary),
      description: shownText(fields.description),
    }),
  'assets.AssetOrTimeSchedule': (type, fields) => {
    const inner = fields.timetable as TimetableDocument | undefined;
    if (typeof inner !== 'object' || inner === null) throw bad('timetable');
    const timed = buildTimetable(inner);
    return {
      ...timed,
      type,
      summary: `Asset or ${timed.summary}`,
      description: `Triggered by assets or ${timed.description}`,
    };
  },
};

function assetPartitions(fields: Fields): Partitions {
  const schedule = readPartitionSchedule(fields);
  const assets = namedIn(fields.asset_condition);
  return {
    at: null,
    between: null,
    schedule,
    // The mappers of all assets must agree on what a key means.
    dateOf: (key) => {
      const dates = new Set(assets.map((asset) => schedule.mapperOf(asset).dateOf(key)).filter((ms) => ms !== null));
      return dates.size === 1 ? [...dates][0]! : null;
    },
  };
}

/** @throws DAG_INVALID for an unknown class, a missing field, a bad cron text or zone */
export function buildTimetable(document: TimetableDocument): Timetable {
  const path = document.__type;
  const name = typeof path === 'string' && path.startsWith(PREFIX) ? path.slice(PREFIX.length) : '';
  if (name === '' && typeof path === 'string' && PYTHON_CLASS.test(path)) return asked(path);
  const build = Object.hasOwn(BUILDERS, name) ? BUILDERS[name] : undefined;
  if (!build) {
    throw new AppError('DAG_INVALID', {
      public: `The timetable ${JSON.stringify(path)} is not known here.`,
      remedy: 'Use a schedule that Airlock has, or a class of your own that a plugin registers.',
    });
  }
  const fields = document.__var;
  if (typeof fields !== 'object' || fields === null) throw bad('__var');
  return build(name.slice(name.indexOf('.') + 1), fields);
}

function bad(field: string): AppError {
  return new AppError('DAG_INVALID', { public: `The field ${field} of the schedule is missing or of the wrong type.` });
}

function text(fields: Fields, name: string): string {
  const value = fields[name];
  if (typeof value !== 'string' || value.length > MAX_TEXT) throw bad(name);
  return value;
}

/** What is shown to people only. */
const shownText = (value: unknown): string => (typeof value === 'string' ? value.slice(0, MAX_TEXT) : '');

function texts(fields: Fields, name: string): readonly string[] {
  const value = fields[name];
  if (!Array.isArray(value) || value.length > MAX_TEXTS) throw bad(name);
  if (!value.every((item) => typeof item === 'string' && item.length <= MAX_TEXT)) throw bad(name);
  return value;
}

function timezone(fields: Fields): string | number {
  const value = fields.timezone ?? 'UTC';
  if (typeof value !== 'string' && typeof value !== 'number') throw bad('timezone');
  return value;
}

function interval(fields: Fields): Duration {
  return readDuration(fields.interval ?? 0, 'interval');
}

function delta(fields: Fields): Duration {
  const value = readDuration(fields.delta, 'delta');
  if (!isPositive(value))
    throw new AppError('DAG_INVALID', { public: 'The delta of the schedule does not lead forward.' });
  return value;
}

function runImmediately(fields: Fields): RunImmediately {
  const value = fields.run_immediately ?? false;
  if (typeof value !== 'boolean' && typeof value !== 'number') throw bad('run_immediately');
  return value;
}

function offset(fields: Fields): number {
  const value = fields.run_offset ?? 0;
  if (typeof value !== 'number' || !Number.isInteger(value) || Math.abs(value) > 1000) throw bad('run_offset');
  return value;
}

function instant(textValue: string): number {
  const ms = Date.parse(textValue);
  if (Number.isNaN(ms)) throw bad('event_dates');
  return ms;
}
