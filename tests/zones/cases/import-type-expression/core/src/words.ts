export const words: readonly string[] = ['one'];
export type Start = typeof import('node:child_process');
