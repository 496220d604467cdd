import { words } from '@airlock/core/words';

export const count = words.length;
