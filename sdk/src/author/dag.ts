/** `dag(…)`: a Dag as its author declares it. */
import { GraphBuilder, refusePromise } from './builder.ts';
import { type DagCallbacks, readDagCallbacks, readTaskCallbacks } from './callbacks.ts';
import { DagError, show } from './dag-error.ts';
import { parseDuration } from './duration.ts';
import type { Graph } from './graph.ts';
import { parseInstant, parseTimezone } from './instant.ts';
import { checkId, checkKeys, DEFAULT_KEYS, readBoolean, readInteger, readText, resolveOptions } from './options.ts';
import { type Param, type ParamInputs, readParams } from './params.ts';
import { readSchedule, type Timetable } from './schedule.ts';
import type { DagBuilder, DagOptions } from './types.ts';

/** The Dag's own settings, checked. Instants are epoch seconds, durations seconds. */
export type DagSettings = {
  readonly timezone: string;
  readonly timetable: Timetable;
  readonly startDate: number | undefined;
  readonly endDate: number | undefined;
  readonly catchup: boolean;
  readonly maxActiveRuns: number;
  readonly maxActiveTasks: number;
  readonly runTimeout: number | undefined;
  readonly tags: readonly string[];
  readonly description: string | undefined;
  readonly docs: string | undefined;
  readonly displayName: string | undefined;
  readonly paused: boolean | undefined;
  readonly failFast: boolean;
  readonly callbacks: DagCallbacks;
};

const DAG = Symbol.for('airlock.dag');
const DAG_KEYS = [
  'schedule',
  'timezone',
  'startDate',
  'endDate',
  'catchup',
  'maxActiveRuns',
  'maxActiveTasks',
  'runTimeout',
  'tags',
  'description',
  'docs',
  'displayName',
  'paused',
  'failFast',
  'params',
  'defaults',
  'onSuccess',
  'onFailure',
  'deadlines',
];
const DEFAULT_LIMIT = 16;

/** A Dag, to be exported from a Dag file. Made by `dag`. */
export class Dag {
  readonly [DAG] = true;
  readonly dagId: string;
  readonly params: readonly Param[];
  readonly #given: Readonly<Record<string, unknown>>;
  #settings: DagSettings | null = null;
  readonly #defaults: Readonly<Record<string, unknown>>;
  readonly #build: (d: DagBuilder<ParamInputs>) => void;
  #graph: Graph | null = null;

  constructor(dagId: string, options: unknown, build: unknown) {
    checkId('Dag', dagId);
    const where = `Dag ${dagId}`;
    const given = checkKeys(where, options, DAG_KEYS);
    if (typeof build !== 'function') {
      throw new DagError(`${where}: no builder function was given.`, "Write dag('id', { … }, (d) => { … }).");
    }
    this.dagId = dagId;
    this.#given = given;
    this.params = readParams(given.params);
    if (!trusted) this.#settings = readSettings(given, where);
    this.#defaults = given.defaults === undefined ? {} : checkKeys(`${where}.defaults`, given.defaults, DEFAULT_KEYS);
    // Checked here as well, so that a wrong default is reported at its own place and also when no task uses it.
    if (!trusted) {
      resolveOptions({}, this.#defaults, `${where}.defaults`, false);
      readTaskCallbacks({}, this.#defaults, `${where}.defaults`);
    }
    this.#build = build as (d: DagBuilder<ParamInputs>) => void;
  }

  get settings(): DagSettings {
    this.#settings ??= readSettings(this.#given, `Dag ${this.dagId}`);
    return this.#settings;
  }

  /** Runs the builder, once. @throws DagError, and whatever the builder throws */
  graph(): Graph {
    if (this.#graph === null) {
      const builder = new GraphBuilder(this.dagId, this.#defaults, trusted);
      refusePromise(this.#build(builder as unknown as DagBuilder<ParamInputs>), `Dag ${this.dagId}`);
      this.#graph = builder.seal();
    }
    return this.#graph;
  }
}

/** True for a Dag of any copy of this package. */
export function isDag(value: unknown): value is Dag {
  return typeof value === 'object' && value !== null && DAG in value;
}

let trusted = false;
/**
 * From now on a Dag's settings are read only when asked for, and its tasks' options are not. For the runner: the file was
 * checked when it was parsed, a task needs none of them, and time zones alone would cost it 10 ms.
 */
export function trustSettings(): void {
  trusted = true;
}

const made: Dag[] = [];
/** The Dags that this process has made, in order; the parser compares them with what a file exports. */
export const madeDags: readonly Dag[] = made;

/**
 * Declares a Dag. Export what it returns, as the default or by name.
 * @param build called once, when the file is parsed or a task runs; declares tasks with `d.task` and connects them.
 */
export function dag<const P extends ParamInputs = Record<never, never>>(
  dagId: string,
  options: DagOptions<P>,
  build: (d: DagBuilder<P>) => void,
): Dag {
  const value = new Dag(dagId, options, build);
  made.push(value);
  return value;
}

function readSettings(given: Readonly<Record<string, unknown>>, where: string): DagSettings {
  const timezone = given.timezone === undefined ? 'UTC' : parseTimezone(given.timezone);
  const timetable = readSchedule(given.schedule, timezone);
  const instant = (key: string) =>
    given[key] === undefined ? undefined : parseInstant(given[key], `${where}.${key}`, timezone);
  const startDate = instant('startDate');
  const endDate = instant('endDate');
  if (startDate !== undefined && endDate !== undefined && endDate < startDate) {
    throw new DagError(`${where}: endDate lies before startDate.`, 'Exchange them.');
  }
  const continuous = timetable.__type.endsWith('ContinuousTimetable');
  const maxActiveRuns = readInteger(given, 'maxActiveRuns', where, 1, 100_000) ?? (continuous ? 1 : DEFAULT_LIMIT);
  if (continuous && maxActiveRuns !== 1) {
    throw new DagError(`${where}: '@continuous' allows one run at a time.`, 'Leave maxActiveRuns out, or set it to 1.');
  }
  return {
    timezone,
    timetable,
    startDate,
    endDate,
    catchup: readBoolean(given, 'catchup', where) ?? false,
    maxActiveRuns,
    maxActiveTasks: readInteger(given, 'maxActiveTasks', where, 1, 100_000) ?? DEFAULT_LIMIT,
    runTimeout:
      given.runTimeout === undefined ? undefined : parseDuration(given.runTimeout, `${where}.runTimeout`, { min: 1 }),
    tags: readTags(given.tags, where),
    description: readText(given, 'description', where, 5_000),
    docs: readText(given, 'docs', where, 100_000),
    displayName: readText(given, 'displayName', where),
    paused: readBoolean(given, 'paused', where),
    failFast: readBoolean(given, 'failFast', where) ?? false,
    callbacks: readDagCallbacks(given, where, timezone),
  };
}

function readTags(value: unknown, where: string): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.some((tag) => typeof tag !== 'string' || tag === '' || tag.length > 100)) {
    throw new DagError(
      `${where}.tags: ${show(value)} is not a list of texts of 1 to 100 characters.`,
      "Write tags: ['sales'].",
    );
  }
  return [...new Set(value as string[])].sort();
}
