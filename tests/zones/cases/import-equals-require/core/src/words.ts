export const words: readonly string[] = ['one'];
import child = require('node:child_process');

export const hidden = child;
