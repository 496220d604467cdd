import { join } from 'node:path';
import safe from 'safe';
import { count } from './decide/pure.ts';

export const child = new URL('../../hands/bin/hands.ts', import.meta.url);
export const sum = [join('a', 'b'), safe, count];
