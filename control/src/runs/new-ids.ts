import { randomBytes } from 'node:crypto';
import { uuidV7 } from '@airlock/contract/ids';

/** A fresh UUIDv7 for the instant: id of a try, or of a Dag version. */
export function newId(nowIso: string): string {
  return uuidV7(Date.parse(nowIso), randomBytes(10));
}
