import { start } from '@airlock/hands/start';

export const words = [String(start)];
