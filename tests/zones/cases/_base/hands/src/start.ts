import { spawn } from 'node:child_process';

export const start = (program: string) => spawn(program);
