import { type Db, sql } from '../../database.ts';
import { POOLS_WITH_SLOTS, type PoolRow } from '../pool/get.ts';
import { type Column, contains, listPage, type SortKey, startsWith } from '../rest-list/compose.ts';
import { type Visible, visibleIn } from '../team/visible.ts';

export const POOL_ORDER: Readonly<Record<string, Column>> = {
  id: { expr: sql`pool.id`, type: 'int8' },
  pool: { expr: sql`pool.name`, type: 'text' },
  name: { expr: sql`pool.name`, type: 'text' },
};

/** A page of pools with live slot counts. Locks nothing. */
export async function listPools(
  db: Db,
  query: {
    visible: Visible;
    namePattern?: string;
    namePrefix?: string;
    order: readonly SortKey[];
    limit: number;
    offset: number;
  },
): Promise<{ rows: PoolRow[]; total: number }> {
  return listPage<PoolRow>(db, {
    select: sql`pool.*`,
    from: POOLS_WITH_SLOTS,
    countFrom: sql`slot_pool pool`,
    where: [
      ...visibleIn(sql`pool.team`, query.visible),
      ...(query.namePattern === undefined ? [] : [contains(sql`pool.name`, query.namePattern)]),
      ...(query.namePrefix === undefined ? [] : [startsWith(sql`pool.name`, query.namePrefix)]),
    ],
    order: query.order,
    limit: query.limit,
    offset: query.offset,
  });
}
