/**
 * The schema as text, from the catalog: what a reviewer reads, and what is compared. Our own query, since the embedded
 * PostgreSQL comes without pg_dump; and its text does not change with the server's version.
 */
import { type Db, sql } from './database.ts';

type Line = { readonly line: string };

/** Tables with columns, constraints, indexes and grants, each in a fixed order. */
export async function dumpSchema(db: Db): Promise<string> {
  const tables = await db.query<{ oid: number; name: string; options: string[] | null; grants: string | null }>(sql`
    SELECT c.oid::int AS oid, c.relname AS name, c.reloptions AS options,
      (SELECT string_agg(grantee || ': ' || privileges, '; ' ORDER BY grantee) FROM (
        SELECT pg_get_userbyid(a.grantee) AS grantee, string_agg(lower(a.privilege_type), ', ' ORDER BY a.privilege_type) AS privileges
        FROM aclexplode(c.relacl) a WHERE a.grantee <> c.relowner GROUP BY a.grantee) g) AS grants
    FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY c.relname`);
  const parts: string[] = [];
  for (const table of tables) {
    const columns = await db.query<Line>(sql`
      SELECT a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
        || CASE WHEN a.attidentity <> '' THEN ' GENERATED ALWAYS AS IDENTITY' ELSE '' END
        || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
        || COALESCE(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') AS line
      FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
      WHERE a.attrelid = ${table.oid}::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`);
    const constraints = await db.query<Line>(sql`
      SELECT 'CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid) AS line FROM pg_constraint
      WHERE conrelid = ${table.oid}::oid AND contype IN ('p', 'u', 'f', 'c', 'x') ORDER BY contype = 'p' DESC, conname`);
    const indexes = await db.query<Line>(sql`
      SELECT replace(pg_get_indexdef(i.indexrelid), 'public.', '') AS line FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      WHERE i.indrelid = ${table.oid}::oid AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid AND k.contype IN ('p', 'u'))
      ORDER BY c.relname`);
    const body = [...columns, ...constraints].map(({ line }) => `  ${line}`).join(',\n');
    const options = table.options ? ` WITH (${table.options.join(', ')})` : '';
    parts.push(`CREATE TABLE ${table.name} (\n${body}\n)${options};`);
    parts.push(...indexes.map(({ line }) => `${line};`));
    parts.push(`-- granted: ${table.grants ?? 'nothing'}\n`);
  }
  const rest = await db.query<Line>(sql`
    SELECT 'function ' || p.oid::regprocedure::text AS line FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace
    UNION ALL SELECT 'view ' || relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('v', 'm')
    UNION ALL SELECT 'trigger ' || tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1`);
  return `${parts.join('\n')}-- besides tables: ${rest.map(({ line }) => line).join('; ') || 'nothing'}\n`;
}
