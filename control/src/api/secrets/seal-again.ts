/**
 * Seals what is stored with the first key, in batches, while everything else goes on: what is done shows in the texts
 * themselves, so a pass that was stopped is begun again. Reads meet the old or the new text, and both keys open theirs.
 */
import { isAppError } from '@airlock/contract/errors';
import type { Database, Db } from '@airlock/store';
import {
  lockConnectionsSealedOtherwise,
  lockTriggersSealedOtherwise,
  lockVariablesSealedOtherwise,
  type SealPage,
  sealConnections,
  sealTriggers,
  sealVariables,
} from '@airlock/store/queries/secret/at-rest';
import type { SecretBox } from './index.ts';
import { secretOwner } from './stored.ts';

type Kind = 'variable' | 'connection' | 'trigger';

export type SealAgain = {
  readonly db: Database;
  readonly secrets: SecretBox;
  /** Take texts that Airflow has encrypted with one of our keys. Off: they stay as they are. */
  readonly fromAirflow: boolean;
  /** Nothing new is begun after that instant of `nowMs`. */
  readonly untilMs: number;
  readonly nowMs: () => number;
  /** Writes down, in a batch's own transaction, how many rows of what kind it has sealed. */
  readonly record: (tx: Db, kind: Kind, rows: number) => Promise<void>;
};

export type Sealed = {
  /** Rows. */
  readonly sealed: number;
  /** Rows that no key opens, or that Airflow has encrypted; they stay as they are. */
  readonly unreadable: number;
};

const BATCH_ROWS = 100;

/** The text in the clear, sealed anew; null = it can't be opened. */
function again(work: SealAgain, text: string, owner: string, isEncrypted: boolean): string | null {
  const { secrets } = work;
  try {
    const clear = !isEncrypted
      ? text
      : work.fromAirflow && text.startsWith('gAAAA')
        ? secrets.openAirflows(text)
        : secrets.open(text, owner);
    return clear === null ? null : secrets.seal(clear, owner);
  } catch (error) {
    if (isAppError(error, 'KEY_UNAVAILABLE')) return null;
    throw error;
  }
}

/** The tables with sealed texts: how rows are found and locked, what they become, and how that is stored. */
type Table<Row, New> = {
  readonly kind: Kind;
  readonly lock: (tx: Db, page: SealPage) => Promise<Row[]>;
  /** Null = no key opens it; it stays as it is. */
  readonly again: (row: Row) => New | null;
  readonly store: (tx: Db, rows: readonly New[]) => Promise<void>;
};

/** Batch after batch, a transaction each. */
async function passOver<Row extends { readonly id: number }, New>(
  work: SealAgain,
  keyId: string,
  table: Table<Row, New>,
): Promise<Sealed> {
  let [sealed, unreadable, afterId] = [0, 0, 0];
  while (work.nowMs() < work.untilMs) {
    const page = { keyId, afterId, limit: BATCH_ROWS };
    const done = await work.db.transaction(async (tx) => {
      const rows = await table.lock(tx, page);
      const opened = rows.map(table.again).filter((row) => row !== null);
      if (opened.length > 0) {
        await table.store(tx, opened);
        await work.record(tx, table.kind, opened.length);
      }
      return { lastId: rows.at(-1)?.id, sealed: opened.length, unreadable: rows.length - opened.length };
    });
    if (done.lastId === undefined) break;
    afterId = done.lastId;
    sealed += done.sealed;
    unreadable += done.unreadable;
  }
  return { sealed, unreadable };
}

/** Seals everything that the first key has not sealed. A box without a key has nothing to seal with. */
export async function sealAgain(work: SealAgain): Promise<Sealed> {
  const keyId = work.secrets.keyIds[0];
  if (keyId === undefined) return { sealed: 0, unreadable: 0 };
  const variables = await passOver(work, keyId, {
    kind: 'variable',
    lock: lockVariablesSealedOtherwise,
    again: ({ id, name, val, is_encrypted }) => {
      const text = again(work, val, secretOwner.variable(name), is_encrypted);
      return text === null ? null : { id, val: text };
    },
    store: sealVariables,
  });
  const connections = await passOver(work, keyId, {
    kind: 'connection',
    lock: lockConnectionsSealedOtherwise,
    again: (row) => {
      const part = (text: string | null, owner: string) => text && again(work, text, owner, row.is_encrypted);
      const password = part(row.password, secretOwner.password(row.name));
      const extra = part(row.extra, secretOwner.extra(row.name));
      const isWhole = (password === null) === (row.password === null) && (extra === null) === (row.extra === null);
      return isWhole ? { id: row.id, password, extra } : null;
    },
    store: sealConnections,
  });
  const triggers = await passOver(work, keyId, {
    kind: 'trigger',
    lock: lockTriggersSealedOtherwise,
    again: ({ id, name, kwargs, is_encrypted }) => {
      const text = again(work, kwargs, secretOwner.trigger(name), is_encrypted);
      return text === null ? null : { id, kwargs: text };
    },
    store: sealTriggers,
  });
  const all = [variables, connections, triggers];
  const sum = (key: keyof Sealed) => all.reduce((total, each) => total + each[key], 0);
  return { sealed: sum('sealed'), unreadable: sum('unreadable') };
}
