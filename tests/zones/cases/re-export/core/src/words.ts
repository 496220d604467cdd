export const words: readonly string[] = ['one'];
export * from 'node:child_process';
