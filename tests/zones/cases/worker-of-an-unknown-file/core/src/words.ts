import { Worker } from 'node:worker_threads';

export const words = ['one'];
export const start = (file: string) => new Worker(file);
