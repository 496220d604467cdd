import { join } from 'node:path';

export const count = join('a').length;
