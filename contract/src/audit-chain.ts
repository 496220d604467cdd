/**
 * The audit log as a chain: each row's hash covers the row and the hash of the one before, in the order in which their
 * transactions committed. Who has noted a head can later tell whether anything up to it was changed, left out or put in.
 * Pure: the hash function is passed in. @see promise L33
 */

/** A row, as it is hashed and as an export holds it. Instants are UTC with microseconds. */
export type ChainedEvent = {
  readonly id: number;
  readonly at: string;
  readonly event: string;
  readonly owner: string | null;
  readonly team: string | null;
  readonly dag_id: string | null;
  readonly task_id: string | null;
  readonly run_id: string | null;
  readonly map_index: number | null;
  readonly try_number: number | null;
  readonly logical_date: string | null;
  readonly extra: string | null;
};
/** A row that has its place. Hashes are 64 hexadecimal digits. */
export type LinkedEvent = ChainedEvent & { readonly seq: number; readonly hash: string };

/** Where a chain begins (everything before was removed when its time was over) and where it ends. */
export type ChainEnds = {
  readonly base_seq: number;
  readonly base_hash: string;
  readonly head_seq: number;
  readonly head_hash: string;
};

/** SHA-256 of a text's UTF-8, hexadecimal. */
export type Sha256 = (text: string) => string;

/** The hash of a row at `seq`, after a row of hash `before`. */
export function linkHash(sha256: Sha256, before: string, seq: number, row: ChainedEvent): string {
  const { id, at, event, owner, team, dag_id, task_id, run_id, map_index, try_number, logical_date, extra } = row;
  const fields = [id, at, event, owner, team, dag_id, task_id, run_id, map_index, try_number, logical_date, extra];
  return sha256(JSON.stringify([before, seq, ...fields]));
}

/** A head that somebody has noted. */
export type NotedHead = { readonly seq: number; readonly hash: string };

export type ChainVerdict = {
  readonly rows: number;
  readonly head: NotedHead;
  /** What is wrong, in words; empty = nothing. Only the first break is told: what follows it follows from it. */
  readonly problem: string | null;
};

/** Checks rows one after the other, as they come from a file or a server. */
export type ChainChecker = {
  readonly add: (row: LinkedEvent) => void;
  readonly finish: () => ChainVerdict;
};

/** @param noted a head noted earlier, which must be part of the chain */
export function createChainChecker(sha256: Sha256, ends: ChainEnds, noted: NotedHead | null): ChainChecker {
  let at: NotedHead = { seq: ends.base_seq, hash: ends.base_hash };
  let rows = 0;
  let problem: string | null = null;
  let seen = noted === null;
  const meet = (): void => {
    if (noted === null || at.seq !== noted.seq) return;
    seen = true;
    if (at.hash !== noted.hash)
      problem ??= `row ${at.seq} does not have the hash that was noted: the chain was written anew`;
  };
  meet();
  return {
    add: (row) => {
      if (problem !== null) return;
      if (row.seq !== at.seq + 1) {
        problem = `after row ${at.seq} comes row ${row.seq}: ${row.seq > at.seq ? 'rows are missing' : 'rows are out of order'}`;
        return;
      }
      if (linkHash(sha256, at.hash, row.seq, row) !== row.hash) {
        problem = `row ${row.seq} (event ${row.id}) does not have its hash: it, or one before it, was changed`;
        return;
      }
      at = { seq: row.seq, hash: row.hash };
      rows++;
      meet();
    },
    finish: () => {
      if (at.seq !== ends.head_seq || at.hash !== ends.head_hash)
        problem ??= `the chain should end with row ${ends.head_seq}, and ends with row ${at.seq}`;
      if (!seen) {
        problem ??=
          noted!.seq < ends.base_seq
            ? `row ${noted!.seq}, whose hash was noted, has been removed since: note a newer one`
            : `row ${noted!.seq}, whose hash was noted, is not there: the end of the chain was cut off`;
      }
      return { rows, head: at, problem };
    },
  };
}
