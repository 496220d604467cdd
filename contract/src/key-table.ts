/** How keys are shown to an operator, whoever shows them. */
import type { ListedKey } from './ipc/token-service.ts';

export const KEY_TABLE_HEAD: readonly string[] = ['KID', 'ALG', 'STATE', 'SIGNS FROM', 'VERIFIES UNTIL'];

export function keyTableRow(key: ListedKey): string[] {
  return [key.kid, key.alg, key.state, instant(key.signs_from, 'always'), instant(key.verifies_until, '-')];
}

/** What a rotation tells the operator. */
export function rotated(keys: readonly ListedKey[]): string {
  const next = keys.find(({ state }) => state === 'next');
  return `the new key ${next?.kid} signs from ${instant(next?.signs_from ?? null, 'now')}; the former one verifies until its tokens have run out`;
}

export function retired(kid: string): string {
  return `${kid} is retired: within a minute every replica refuses its tokens`;
}

function instant(epochSeconds: number | null, absent: string): string {
  return epochSeconds === null ? absent : new Date(epochSeconds * 1000).toISOString().replace('.000Z', 'Z');
}
