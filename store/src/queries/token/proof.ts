/** Proofs of possession, each of which counts once in a deployment. */
import { type Db, sql } from '../../database.ts';
import { RELAXED } from './relaxed.ts';

/** A proof that is shown. */
export type ShownProof = {
  /** SHA-256 of key and `jti`: what makes it this proof. */
  readonly name: Buffer;
  /** Instant that the proof itself carries. */
  readonly madeAtIso: string;
};

/**
 * Writes down that these proofs were shown. All names differ. Locks: nothing but the rows that it adds; whoever shows the
 * same proof at the same time elsewhere waits for this commit.
 * @returns in the order of `proofs`: true = it was not shown before.
 */
export async function recordProofs(db: Db, proofs: readonly ShownProof[]): Promise<boolean[]> {
  const rows = await db.query<{ name: Buffer }>(
    sql`WITH ${RELAXED}
      INSERT INTO proof_seen (name, made_at)
      SELECT p.name, p.made_at FROM relaxed, unnest(${proofs.map((proof) => proof.name)}::bytea[],
        ${proofs.map((proof) => proof.madeAtIso)}::timestamptz[]) AS p (name, made_at)
      ON CONFLICT DO NOTHING RETURNING name`,
    'proof_record',
  );
  const fresh = new Set(rows.map((row) => row.name.toString('latin1')));
  return proofs.map((proof) => fresh.has(proof.name.toString('latin1')));
}

/** Forgets proofs that were made before this instant, when they are too old to be taken anyway. Locks: the rows. */
export async function forgetProofs(db: Db, madeBeforeIso: string): Promise<void> {
  await db.query(
    sql`WITH ${RELAXED} DELETE FROM proof_seen USING relaxed WHERE made_at < ${madeBeforeIso}::timestamptz`,
    'proof_forget',
  );
}
