/**
 * Proofs that any API server takes, remembered by all of them together in the database. Those that name one process's nonce
 * never come here. @see decision 0015
 */
import { PROOF_MAX_AGE_SECONDS } from '@airlock/contract/proof';
import type { Database } from '@airlock/store';
import { forgetProofs, recordProofs, type ShownProof } from '@airlock/store/queries/token/proof';
import type { ProvenKey } from '@airlock/token-verify';
import { nowIso } from '../http/instant.ts';
import { createBatcher } from './batcher.ts';

/** True the first time. @throws DB_UNAVAILABLE: what can't be looked up is not taken */
export type FirstShown = (proof: NonNullable<ProvenKey['shown']>) => Promise<boolean>;

/** Longer than a proof is taken, whatever the clocks of several servers say. */
const KEEP_MS = (PROOF_MAX_AGE_SECONDS + 240) * 1000;
/** Between two removals, by whoever adds. */
const FORGET_EVERY_MS = 30_000;

export function createShownProofs(db: Database, nowMs: () => number): FirstShown {
  let forgotAtMs = 0;
  const record = createBatcher<ShownProof, boolean>({
    keyOf: (proof) => proof.name.toString('latin1'),
    send: async (proofs) => {
      const now = nowMs();
      if (now - forgotAtMs >= FORGET_EVERY_MS) {
        forgotAtMs = now;
        // Nobody waits for it; when it fails the next one removes more.
        void forgetProofs(db, nowIso(now - KEEP_MS)).catch(() => undefined);
      }
      return await recordProofs(db, proofs);
    },
    // While one statement runs the next batch grows: with two the same load costs a fifth more. @see decision 0015
    maxInFlight: 1,
  });
  return ({ name, madeAtMs }) => record({ name, madeAtIso: nowIso(madeAtMs) });
}
