/** Where a Dag names assets: in its schedule, and as inlets and outlets of tasks. @see serialized Dag 8 */
import type { DagDocument } from '@airlock/contract/dag/document';
import { AppError } from '@airlock/contract/errors';
import { isObject, isTagged, untag } from './values.ts';

type Named =
  | {
      readonly kind: 'asset';
      readonly name: string;
      readonly uri: string;
      readonly group: string;
      readonly extra: object;
    }
  | { readonly kind: 'alias'; readonly name: string; readonly group: string }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'uri'; readonly uri: string };

export type AssetUse = Named & {
  readonly role: 'schedule' | 'inlet' | 'outlet';
  /** '' = the schedule. */
  readonly taskId: string;
  /** Whose events count, where teams are; null = the author says nothing. */
  readonly accessControl: object | null;
};

/** Bytes, as the database takes them. */
const MAX_NAME = 1000;
const MAX_URI = 1500;
const MAX_USES = 10_000;
const MAX_DEPTH = 50;

function bad(what: string): AppError {
  return new AppError('DAG_INVALID', { public: `The Dag names an asset ${what}.` });
}

function text(value: unknown, what: string, maxBytes: number): string {
  if (typeof value !== 'string' || value === '') throw bad(`without ${what}`);
  if (Buffer.byteLength(value) > maxBytes) throw bad(`whose ${what} is longer than ${maxBytes} bytes`);
  return value;
}

/** Fields stand beside the type in schedules, and beneath `__var` in tasks. @returns null for what is no asset */
function readNamed(type: string, fields: Readonly<Record<string, unknown>>): Named | null {
  const group = typeof fields.group === 'string' ? fields.group.slice(0, 300) : 'asset';
  switch (type) {
    case 'asset': {
      const extra = untag(fields.extra ?? {});
      return {
        kind: 'asset',
        name: text(fields.name, 'a name', MAX_NAME),
        uri: text(fields.uri, 'a uri', MAX_URI),
        group,
        extra: isObject(extra) ? extra : {},
      };
    }
    case 'asset_alias':
      return { kind: 'alias', name: text(fields.name, 'a name', MAX_URI), group };
    case 'asset_ref':
      return typeof fields.name === 'string'
        ? { kind: 'name', name: text(fields.name, 'a name', MAX_URI) }
        : { kind: 'uri', uri: text(fields.uri, 'a uri', MAX_URI) };
    default:
      return null;
  }
}

const accessOf = (fields: Readonly<Record<string, unknown>>): object | null =>
  isObject(fields.access_control) ? fields.access_control : null;

/** @throws DAG_INVALID an asset without a name or uri, too long a one, too many, an expression nested too deeply */
export function readAssetUses({ dag }: DagDocument): readonly AssetUse[] {
  const uses: AssetUse[] = [];
  const condition = (value: unknown, depth: number): void => {
    if (!isObject(value) || typeof value.__type !== 'string') return;
    if (depth > MAX_DEPTH) throw bad('in an expression that is nested too deeply');
    const named = readNamed(value.__type, value);
    if (named) uses.push({ ...named, role: 'schedule', taskId: '', accessControl: accessOf(value) });
    else if (Array.isArray(value.objects)) for (const inner of value.objects) condition(inner, depth + 1);
  };
  condition(dag.timetable.__var.asset_condition, 0);
  for (const { __var: task } of dag.tasks) {
    for (const role of ['inlet', 'outlet'] as const) {
      const list = task[`${role}s`] ?? untag(task.partial_kwargs?.[`${role}s`]);
      for (const item of Array.isArray(list) ? list : []) {
        if (!isTagged(item) || !isObject(item.__var)) continue;
        const named = readNamed(item.__type, item.__var);
        if (named) uses.push({ ...named, role, taskId: task.task_id, accessControl: accessOf(item.__var) });
      }
    }
  }
  if (uses.length > MAX_USES) throw bad(`more than ${MAX_USES} times`);
  return uses;
}
