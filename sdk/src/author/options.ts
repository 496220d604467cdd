/** Checks the options of tasks, and lays them over the Dag's `defaults`. */
import { TYPESCRIPT_QUEUE } from '@airlock/contract/dag/document';
import { DagError, show } from './dag-error.ts';
import { parseDuration, parseRetryDelay } from './duration.ts';
import type { ResolvedOptions } from './graph.ts';
import { type CallbackNeeds, isHandle, type NeedHandles } from './handles.ts';
import type { RetryPolicy } from './retry-policy.ts';
import type { Reads } from './until.ts';

type Given = Readonly<Record<string, unknown>>;

const COMMON = [
  'retries',
  'retryDelay',
  'retryPolicy',
  'timeout',
  'pool',
  'poolSlots',
  'queue',
  'priority',
  'owner',
  'dependsOnPast',
];
const CALLBACKS = ['onSuccess', 'onFailure', 'onRetry', 'onSkip'];
export const TASK_KEYS = [...COMMON, ...CALLBACKS, 'needs', 'docs', 'displayName', 'run'];
export const SENSOR_KEYS = [...COMMON, ...CALLBACKS, 'needs', 'docs', 'displayName', 'every', 'check'];
export const WAIT_KEYS = [...COMMON, ...CALLBACKS, 'needs', 'docs', 'displayName', 'until', 'reads'];
export const DEFAULT_KEYS = [...COMMON, ...CALLBACKS];

/** The option object, with no key that nobody reads: a typing slip must not be silent. @throws DagError */
export function checkKeys(where: string, value: unknown, known: readonly string[]): Given {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new DagError(`${where}: ${show(value)} is not an object of options.`, `Known options: ${known.join(', ')}.`);
  }
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    const near = known.find((k) => k.toLowerCase().replaceAll('_', '') === key.toLowerCase().replaceAll('_', ''));
    const hint = near ? `Did you mean ${near}?` : `Known options: ${known.join(', ')}.`;
    throw new DagError(`${where}: there is no option ${show(key)}.`, hint);
  }
  return value as Given;
}

/** A whole number in range, or undefined. @throws DagError */
export function readInteger(given: Given, key: string, where: string, min: number, max: number): number | undefined {
  const value = given[key];
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw new DagError(`${where}.${key}: ${show(value)} is not a whole number.`, `Use one from ${min} to ${max}.`);
  }
  return value;
}

/** A text that is not empty, or undefined. @throws DagError */
export function readText(given: Given, key: string, where: string, maxLength = 250): string | undefined {
  const value = given[key];
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value === '' || value.length > maxLength) {
    throw new DagError(
      `${where}.${key}: ${show(value)} is not a text of 1 to ${maxLength} characters.`,
      'Give a text.',
    );
  }
  return value;
}

/** A boolean, or undefined. @throws DagError */
export function readBoolean(given: Given, key: string, where: string): boolean | undefined {
  const value = given[key];
  if (value === undefined || typeof value === 'boolean') return value;
  throw new DagError(`${where}.${key}: ${show(value)} is not true or false.`, 'Use true or false.');
}

const DOCS_LENGTH = 100_000;

/** One task's options over the Dag's defaults. `timeout` of a sensor is its own affair and is not read here. */
export function resolveOptions(own: Given, defaults: Given, where: string, sensor: boolean): ResolvedOptions {
  const given: Record<string, unknown> = { ...defaults };
  for (const [key, value] of Object.entries(own)) if (value !== undefined) given[key] = value;
  const retryDelay =
    given.retryDelay === undefined ? undefined : parseRetryDelay(given.retryDelay, `${where}.retryDelay`);
  const timeout =
    sensor || given.timeout === undefined
      ? undefined
      : parseDuration(given.timeout, `${where}.timeout`, { min: 0.001 });
  return {
    retries: readInteger(given, 'retries', where, 0, 10_000),
    retryDelay,
    retryPolicy: readPolicy(given, where),
    timeout,
    pool: readText(given, 'pool', where, 256),
    poolSlots: readInteger(given, 'poolSlots', where, 1, 1_000_000),
    queue: readText(given, 'queue', where, 256) ?? TYPESCRIPT_QUEUE,
    priority: readInteger(given, 'priority', where, 0, 1_000_000_000),
    owner: readText(given, 'owner', where),
    dependsOnPast: readBoolean(given, 'dependsOnPast', where),
    docs: readText(own, 'docs', where, DOCS_LENGTH),
    displayName: readText(own, 'displayName', where),
  };
}

function readPolicy({ retryPolicy }: Given, where: string): RetryPolicy | undefined {
  if (retryPolicy === undefined || typeof retryPolicy === 'function') return retryPolicy as RetryPolicy | undefined;
  throw new DagError(
    `${where}.retryPolicy: ${show(retryPolicy)} is not a function.`,
    "Write retryPolicy: (error) => (error instanceof TypeError ? { fail: 'a bug' } : undefined).",
  );
}

/** Handles by names of the author's choice. @throws DagError */
export function readCallbackNeeds(value: unknown, where: string): CallbackNeeds {
  if (value === undefined) return {};
  if (typeof value !== 'object' || value === null || isHandle(value)) {
    throw new DagError(
      `${where}.needs: ${show(value)} is not an object of handles.`,
      'Write it as needs: { warehouse }.',
    );
  }
  for (const [name, handle] of Object.entries(value)) {
    if (!isHandle(handle)) {
      throw new DagError(
        `${where}.needs.${name}: ${show(handle)} is not a handle.`,
        "Use connection('id'), variable('key') or, for a callback of a Dag, result('task_id').",
      );
    }
  }
  return value as CallbackNeeds;
}

/** The same for a task, which gets results as its input. @throws DagError */
export function readNeeds(value: unknown, where: string): NeedHandles {
  const needs = readCallbackNeeds(value, where);
  for (const [name, handle] of Object.entries(needs)) {
    if (handle.kind === 'result') {
      throw new DagError(
        `${where}.needs.${name}: a task does not declare the result of another.`,
        'Give the node of that task as an input.',
      );
    }
  }
  return needs as NeedHandles;
}

const ID = /^[A-Za-z0-9_.-]+$/;

/** @throws DagError when it can't name a Dag, task or group */
export function checkId(kind: string, id: unknown): asserts id is string {
  if (typeof id !== 'string' || !ID.test(id) || id.length > 250) {
    const hint = 'Use 1 to 250 letters, digits, dashes, underscores and dots.';
    throw new DagError(`${show(id)} is not a ${kind} id.`, hint);
  }
}

const NAME = /^.{1,250}$/s;
const NAMES_OF = {
  dags: { pattern: NAME, example: 'orders' },
  tasks: { pattern: /^[^/]{1,250}\/[^/]{1,250}$/, example: 'orders/load' },
  assets: { pattern: NAME, example: 'orders' },
} as const satisfies Record<keyof Reads, unknown>;

/** Names of what a wait may read, sorted. @throws DagError */
export function readReads(value: unknown, where: string): Required<Reads> {
  const given = checkKeys(`${where}.reads`, value, Object.keys(NAMES_OF));
  const names = (key: keyof Reads): string[] => {
    const list = given[key] ?? [];
    const { pattern, example } = NAMES_OF[key];
    const isName = (name: unknown) => typeof name === 'string' && pattern.test(name);
    if (!Array.isArray(list) || !list.every(isName) || list.length > 1000)
      throw new DagError(
        `${where}.reads.${key}: ${show(list)} is no list of names.`,
        `Write reads: { ${key}: ['${example}'] }.`,
      );
    return [...new Set(list as string[])].sort();
  };
  return { dags: names('dags'), tasks: names('tasks'), assets: names('assets') };
}
