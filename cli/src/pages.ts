import type { Client } from './client.ts';

/** Rows asked for at once; the server bounds it too. */
const PAGE_ROWS = 100;

/** Every row of a list, page after page. @param limit stop after so many rows. */
export async function allRows<T>(client: Client, path: string, key: string, limit: number): Promise<T[]> {
  const rows: T[] = [];
  while (rows.length < limit) {
    const join = path.includes('?') ? '&' : '?';
    const wanted = Math.min(PAGE_ROWS, limit - rows.length);
    const page = await client.json<Record<string, unknown>>(
      'GET',
      `${path}${join}limit=${wanted}&offset=${rows.length}`,
    );
    const found = page[key] as T[];
    rows.push(...found);
    if (found.length < wanted || rows.length === page.total_entries) break;
  }
  return rows;
}
