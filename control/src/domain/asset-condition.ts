/** When a schedule of assets is satisfied. Pure. @see scheduling semantics 3.4; serialized Dag 8 */
import type { DagDocument } from '@airlock/contract/dag/document';
import { isObject } from './values.ts';

/** An asset that had an event since the Dag's last run. */
export type HadEvent = {
  readonly name: string;
  readonly uri: string;
  readonly active: boolean;
  readonly aliases: readonly string[];
};

/** Null = the schedule names no asset, or in a form that is not known: it is never satisfied by events. */
export type AssetCondition = ((events: readonly HadEvent[]) => boolean) | null;

/** From the schedule of a document that `readAssetUses` has checked. */
export function readAssetCondition({ dag }: DagDocument): AssetCondition {
  return read(dag.timetable.__var.asset_condition);
}

function read(value: unknown): AssetCondition {
  if (!isObject(value)) return null;
  const leaf = (test: (event: HadEvent) => boolean) => (events: readonly HadEvent[]) => events.some(test);
  switch (value.__type) {
    case 'asset':
      return leaf((event) => event.name === value.name && event.uri === value.uri);
    case 'asset_alias':
      return leaf((event) => event.aliases.includes(String(value.name)));
    case 'asset_ref':
      return leaf(
        (event) =>
          event.active && (typeof value.name === 'string' ? event.name === value.name : event.uri === value.uri),
      );
    case 'asset_all':
    case 'asset_any': {
      const parts = Array.isArray(value.objects) ? value.objects.map(read) : [];
      if (parts.length === 0 || parts.includes(null)) return null;
      const tests = parts.filter((part) => part !== null);
      return value.__type === 'asset_all'
        ? (events) => tests.every((test) => test(events))
        : (events) => tests.some((test) => test(events));
    }
    default:
      return null;
  }
}
