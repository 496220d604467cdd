/** What a Dag watches: triggers of the assets in its schedule. Pure. @see serialized Dag 8.1 */
import type { DagDocument } from '@airlock/contract/dag/document';
import { AppError } from '@airlock/contract/errors';
import { isObject } from './values.ts';

export type Watcher = {
  /** Name and uri of the asset. */
  readonly asset: string;
  readonly uri: string;
  readonly name: string;
  readonly classpath: string;
  /** Opaque: each value plain JSON or tagged. */
  readonly kwargs: Readonly<Record<string, unknown>>;
};

const MAX_WATCHERS = 1000;
const MAX_NAME = 1000;
const MAX_DEPTH = 50;

function bad(what: string): AppError {
  return new AppError('DAG_INVALID', { public: `A watcher of an asset in the Dag's schedule ${what}.` });
}

function text(value: unknown, what: string): string {
  if (typeof value === 'string' && value !== '' && value.length <= MAX_NAME && !value.includes('\0')) return value;
  throw bad(`has no ${what} of 1 to ${MAX_NAME} characters`);
}

/** From the schedule of a document that `readAssetUses` has checked. @throws DAG_INVALID one without name or class, too many */
export function readWatchers({ dag }: DagDocument): readonly Watcher[] {
  const found: Watcher[] = [];
  const visit = (value: unknown, depth: number): void => {
    if (!isObject(value) || depth > MAX_DEPTH) return;
    if (Array.isArray(value.objects)) for (const inner of value.objects) visit(inner, depth + 1);
    if (value.__type !== 'asset' || !Array.isArray(value.watchers)) return;
    for (const watcher of value.watchers) {
      const trigger = isObject(watcher) ? watcher.trigger : null;
      if (!isObject(watcher) || !isObject(trigger)) throw bad('has no trigger');
      found.push({
        asset: String(value.name),
        uri: String(value.uri),
        name: text(watcher.name, 'name'),
        classpath: text(trigger.classpath, 'class'),
        kwargs: isObject(trigger.kwargs) ? trigger.kwargs : {},
      });
    }
  };
  visit(dag.timetable.__var.asset_condition, 0);
  if (found.length > MAX_WATCHERS) throw bad(`is one of more than ${MAX_WATCHERS}`);
  return found;
}
