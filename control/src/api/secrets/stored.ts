/** Variables and connections with their secrets opened, for the two APIs. */
import type { Db } from '@airlock/store';
import { type ConnectionRow, getConnection } from '@airlock/store/queries/connection/get';
import { getVariable, type VariableRow } from '@airlock/store/queries/variable/get';
import type { SecretBox } from './index.ts';

/** What a sealed column belongs to; bound into the ciphertext. */
export const secretOwner = {
  variable: (key: string) => `variable/${key}`,
  password: (connId: string) => `connection/${connId}/password`,
  extra: (connId: string) => `connection/${connId}/extra`,
  /** Of the try that waits for it. */
  trigger: (tiId: string) => `trigger/${tiId}`,
};

/** The row with `val` in the clear. @throws KEY_UNAVAILABLE */
export function openVariable(box: SecretBox, row: VariableRow): VariableRow {
  return row.is_encrypted ? { ...row, val: box.open(row.val, secretOwner.variable(row.key)) } : row;
}

/** The row with `password` and `extra` in the clear. @throws KEY_UNAVAILABLE */
export function openConnection(box: SecretBox, row: ConnectionRow): ConnectionRow {
  if (!row.is_encrypted) return row;
  return {
    ...row,
    password: row.password === null ? null : box.open(row.password, secretOwner.password(row.conn_id)),
    extra: row.extra === null ? null : box.open(row.extra, secretOwner.extra(row.conn_id)),
  };
}

/** One variable in the clear, for a caller that was already found entitled to it; null when there is none. */
export async function readVariable(
  db: Db,
  box: SecretBox,
  which: { team: string | null; key: string },
): Promise<VariableRow | null> {
  const row = await getVariable(db, which);
  return row && openVariable(box, row);
}

/** One connection in the clear, for a caller that was already found entitled to it; null when there is none. */
export async function readConnection(
  db: Db,
  box: SecretBox,
  which: { team: string | null; connId: string },
): Promise<ConnectionRow | null> {
  const row = await getConnection(db, which);
  return row && openConnection(box, row);
}
