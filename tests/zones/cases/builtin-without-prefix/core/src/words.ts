export const words: readonly string[] = ['one'];
export { spawn } from 'child_process';
