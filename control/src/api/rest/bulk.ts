/**
 * `PATCH` on a collection: several actions in one transaction, each all-or-nothing, always answered with 200.
 * @see rest-api 1.10
 */
import { z } from '@airlock/contract/schema';
import { wire } from '../http/wire.ts';

export type BulkResult = { success: string[]; errors: Array<{ error: string; status_code: number }> };
export type BulkAnswer = { create: BulkResult | null; update: BulkResult | null; delete: BulkResult | null };

/** What differs between the collections. */
export type BulkKind<C, U> = {
  /** As messages name them: `variables with these keys`. */
  readonly plural: string;
  readonly idOf: (entity: C | U) => string;
  /** Whether there is one of this id now; `created` is given where one of its name and team is about to be made. */
  readonly exists: (id: string, created: C | null) => Promise<boolean>;
  readonly create: (entity: C) => Promise<void>;
  readonly overwrite: (entity: C) => Promise<void>;
  readonly update: (entity: U, mask: readonly string[]) => Promise<void>;
  readonly remove: (id: string) => Promise<void>;
  /** Ids that must not be deleted, with the reason. */
  readonly refuseDelete?: (id: string) => string | null;
};

const MAX_ENTITIES = 5_000;

/** @param remove how an entity to delete is named */
export function bulkBody<C extends z.ZodType, U extends z.ZodType, D extends z.ZodType = z.ZodType<string>>(
  create: C,
  update: U,
  remove?: D,
) {
  const onExisting = wire.word(['fail', 'skip', 'overwrite']).default('fail');
  const onMissing = wire.word(['fail', 'skip']).default('fail');
  return z.strictObject({
    actions: z
      .array(
        z.discriminatedUnion('action', [
          z.strictObject({
            action: z.literal('create'),
            entities: z.array(create).max(MAX_ENTITIES),
            action_on_existence: onExisting,
          }),
          z.strictObject({
            action: z.literal('update'),
            entities: z.array(update).max(MAX_ENTITIES),
            update_mask: z.array(wire.text()).nullish(),
            action_on_non_existence: onMissing,
          }),
          z.strictObject({
            action: z.literal('delete'),
            entities: z.array((remove ?? wire.text()) as D).max(MAX_ENTITIES),
            action_on_non_existence: onMissing,
          }),
        ]),
      )
      .max(1000),
  });
}

type Action<C, U> =
  | { action: 'create'; entities: C[]; action_on_existence: 'fail' | 'skip' | 'overwrite' }
  | { action: 'update'; entities: U[]; update_mask?: string[] | null; action_on_non_existence: 'fail' | 'skip' }
  | { action: 'delete'; entities: string[]; action_on_non_existence: 'fail' | 'skip' };

const named = (ids: Iterable<string>) => `{${[...ids].map((id) => `'${id}'`).join(', ')}}`;

/** Runs the actions in order. */
export async function runBulk<C, U>(actions: ReadonlyArray<Action<C, U>>, kind: BulkKind<C, U>): Promise<BulkAnswer> {
  const answer: BulkAnswer = { create: null, update: null, delete: null };
  for (const action of actions) {
    answer[action.action] ??= { success: [], errors: [] };
    const result = answer[action.action]!;
    const fail = (error: string, status: number) => result.errors.push({ error, status_code: status });
    if (action.action === 'create') {
      const byId = new Map(action.entities.map((entity) => [kind.idOf(entity), entity]));
      const there = new Set<string>();
      for (const [id, entity] of byId) if (await kind.exists(id, entity)) there.add(id);
      if (there.size > 0 && action.action_on_existence === 'fail') {
        fail(`The ${kind.plural}: ${named(there)} already exist.`, 409);
        continue;
      }
      for (const [id, entity] of byId) {
        if (there.has(id) && action.action_on_existence === 'skip') continue;
        await (there.has(id) ? kind.overwrite(entity) : kind.create(entity));
        result.success.push(id);
      }
      continue;
    }
    const ids = action.action === 'update' ? action.entities.map(kind.idOf) : action.entities;
    const there = new Set<string>();
    for (const id of ids) if (await kind.exists(id, null)) there.add(id);
    const missing = ids.filter((id) => !there.has(id));
    if (missing.length > 0 && action.action_on_non_existence === 'fail') {
      fail(`The ${kind.plural}: ${named(new Set(missing))} were not found.`, 404);
      continue;
    }
    if (action.action === 'update') {
      for (const entity of action.entities) {
        if (!there.has(kind.idOf(entity))) continue;
        await kind.update(entity, action.update_mask ?? []);
        result.success.push(kind.idOf(entity));
      }
      continue;
    }
    const refused = [...there].map((id) => kind.refuseDelete?.(id) ?? null).find((reason) => reason !== null);
    if (refused) {
      fail(refused, 400);
      continue;
    }
    for (const id of there) {
      await kind.remove(id);
      result.success.push(id);
    }
  }
  return answer;
}
