import { type Db, sql } from '../../database.ts';

export type InterpreterInventory = {
  readonly providers: readonly unknown[];
  readonly plugins: readonly unknown[];
  readonly plugin_import_errors: readonly unknown[];
};

/** Keeps what a supervisor says of its interpreter, in place of what it said before. Locks: that row. */
export async function saveInterpreter(
  db: Db,
  o: { readonly supervisorId: string; readonly nowIso: string; readonly inventory: InterpreterInventory },
): Promise<void> {
  const { providers, plugins, plugin_import_errors: errors } = o.inventory;
  await db.query(
    sql`INSERT INTO supervisor_interpreter (supervisor_id, reported_at, providers, plugins, plugin_import_errors)
      VALUES (${o.supervisorId}::uuid, ${o.nowIso}::timestamptz, ${JSON.stringify(providers)}::json,
        ${JSON.stringify(plugins)}::json, ${JSON.stringify(errors)}::json)
      ON CONFLICT (supervisor_id) DO UPDATE SET reported_at = EXCLUDED.reported_at, providers = EXCLUDED.providers,
        plugins = EXCLUDED.plugins, plugin_import_errors = EXCLUDED.plugin_import_errors`,
    'supervisor_save_interpreter',
  );
}

/** A page of one list of the newest report; `total` counts all of it. No report is an empty list. Locks nothing. */
export async function listInterpreter(
  db: Db,
  what: keyof InterpreterInventory,
  page: { readonly limit: number; readonly offset: number },
): Promise<{ rows: unknown[]; total: number }> {
  const [row] = await db.query<InterpreterInventory>(
    sql`SELECT providers, plugins, plugin_import_errors FROM supervisor_interpreter
      ORDER BY reported_at DESC, supervisor_id LIMIT 1`,
    'supervisor_list_interpreter',
  );
  const all = row?.[what] ?? [];
  return { rows: all.slice(page.offset, page.offset + page.limit), total: all.length };
}
