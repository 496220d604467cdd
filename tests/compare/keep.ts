/** What each Dag of one side came to, in a file, so that a comparison that was cut short goes on where it stopped. */
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { RunEnd } from './side.ts';

/** Everything that is known of one side. */
export type Ends = {
  readonly ends: Map<string, RunEnd>;
  /** File → traceback. */
  readonly errors: Map<string, string>;
  /** Dag → pairs of task ids, upstream first. */
  readonly edges: Map<string, Array<readonly [string, string]>>;
};

/** Maps as lists of pairs: JSON has none. */
const replacer = (_key: string, value: unknown) => (value instanceof Map ? { map: [...value] } : value);
const reviver = (_key: string, value: unknown) =>
  typeof value === 'object' && value !== null && Object.keys(value).join() === 'map'
    ? new Map((value as { map: Array<[unknown, unknown]> }).map)
    : value;

/** @param file null = nothing is kept */
export function readEnds(file: string | null): Ends {
  if (file !== null && existsSync(file)) return JSON.parse(readFileSync(file, 'utf8'), reviver) as Ends;
  return { ends: new Map(), errors: new Map(), edges: new Map() };
}

/** Whole or not at all: an interrupted comparison leaves the last complete file. */
export function writeEnds(file: string | null, ends: Ends): void {
  if (file === null) return;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(`${file}.new`, JSON.stringify(ends, replacer, 1));
  renameSync(`${file}.new`, file);
}
