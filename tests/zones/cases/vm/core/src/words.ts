export const words: readonly string[] = ['one'];
import { runInThisContext } from 'node:vm';

export const run = runInThisContext;
