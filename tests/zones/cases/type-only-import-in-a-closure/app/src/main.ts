import type { start } from '@airlock/hands/start';

export const child = '../../hands/bin/hands.ts';
export type Start = typeof start;
