/**
 * Dag modules in zip archives, as Airflow takes them: each `*.py` at the top of an archive is a Dag file of its own, named
 * `archive.zip/module.py`. Here are only their names, from the directory of the archive: nothing is unpacked but by the sandboxed
 * child. What an archive says of itself is its author's, so every number is held against what is there.
 */
import { readSync } from 'node:fs';
import { join } from 'node:path';
import { MAX_INPUT_BYTES, stampOf, useInside } from './digest.ts';

export const ARCHIVE_LIMITS = {
  /** Of an archive with Dag modules, packed. */
  bytes: MAX_INPUT_BYTES,
  entries: 10_000,
  /** At the top of one archive. */
  modules: 500,
  /** Of all archives of a bundle. */
  bundleEntries: 100_000,
} as const;

/** Names of modules, or why there are none. */
export type Listing = { readonly modules: readonly string[]; readonly entries: number } | { readonly refused: string };

const END = { signature: 0x06054b50, bytes: 22, maxComment: 0xffff } as const;
const CENTRAL = { signature: 0x02014b50, bytes: 46 } as const;
/** Of the directory of an archive; that many entries with names of a usual length. */
const MAX_DIRECTORY_BYTES = 4 * 1024 * 1024;
/** What is no letter of a name on the wire, or would be a folder. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is refused
const MODULE = /^[^/\\\u0000-\u001f\u007f\ufffd]{1,200}\.py$/;

class Refused extends Error {}

export function isArchiveName(name: string): boolean {
  return name.endsWith('.zip');
}

/** `a/b.zip/c.py` → archive and module; null for a path of another form, which may still be that of a file in such a folder. */
export function splitArchivePath(path: string): { archive: string; module: string } | null {
  const match = /^(.+\.zip)\/([^/]+\.py)$/.exec(path);
  return match ? { archive: match[1]!, module: match[2]! } : null;
}

function readPart(descriptor: number, at: number, bytes: number): Buffer {
  const part = Buffer.alloc(bytes);
  if (at < 0 || readSync(descriptor, part, 0, bytes, at) < bytes) throw new Refused('The archive is cut short.');
  return part;
}

/** Of all entries; null for a file that is no zip archive. @throws Refused one that is, but can't be used */
function readNames(descriptor: number, bytes: number): string[] | null {
  const tailBytes = Math.min(bytes, END.bytes + END.maxComment);
  const tail = readPart(descriptor, bytes - tailBytes, tailBytes);
  const signature = Buffer.alloc(4);
  signature.writeUInt32LE(END.signature);
  const inTail = tail.subarray(0, Math.max(0, tailBytes - END.bytes + 4)).lastIndexOf(signature);
  if (inTail < 0) return null;
  const end = bytes - tailBytes + inTail;
  const count = tail.readUInt16LE(inTail + 10);
  const length = tail.readUInt32LE(inTail + 12);
  const declaredAt = tail.readUInt32LE(inTail + 16);
  if (count > ARCHIVE_LIMITS.entries || length > MAX_DIRECTORY_BYTES)
    throw new Refused(`The archive has more than ${ARCHIVE_LIMITS.entries} entries, or very long names.`);
  // What stands before an archive, as in a program that unpacks itself, moves all that it says about places.
  const at = end - length;
  if (at < declaredAt) throw new Refused('The directory of the archive is not where it should be.');
  const directory = readPart(descriptor, at, length);
  const names: string[] = [];
  for (let from = 0; from < length; ) {
    if (names.length === count || from + CENTRAL.bytes > length || directory.readUInt32LE(from) !== CENTRAL.signature)
      throw new Refused('The directory of the archive is damaged.');
    const nameBytes = directory.readUInt16LE(from + 28);
    const moreBytes = directory.readUInt16LE(from + 30) + directory.readUInt16LE(from + 32);
    const next = from + CENTRAL.bytes + nameBytes + moreBytes;
    if (next > length) throw new Refused('The directory of the archive is damaged.');
    names.push(directory.toString('utf8', from + CENTRAL.bytes, from + CENTRAL.bytes + nameBytes));
    from = next;
  }
  return names;
}

const reasonOf = (error: unknown): string =>
  error instanceof Refused ? error.message : 'The archive can not be read.';

/** @param path of the archive, relative to the root of its bundle @returns null for what is no zip archive */
export function listArchive(root: string, path: string): Listing | null {
  return useInside(join(root, path), [root], (descriptor, bytes): Listing | null => {
    try {
      const names = readNames(descriptor, bytes);
      if (names === null) return null;
      const modules = [...new Set(names.filter((name) => MODULE.test(name)))];
      // One of data alone may be of any size: nobody reads more of it than its names.
      if (modules.length > 0 && bytes > ARCHIVE_LIMITS.bytes)
        throw new Refused(`The archive has more than ${ARCHIVE_LIMITS.bytes / 1024 / 1024} MiB.`);
      if (modules.length > ARCHIVE_LIMITS.modules)
        throw new Refused(`The archive has more than ${ARCHIVE_LIMITS.modules} modules at its top.`);
      return { modules: modules.sort(), entries: names.length };
    } catch (error) {
      return { refused: reasonOf(error) };
    }
  });
}

/** What is known of the archives of one bundle: each is read again when it has changed. */
export class Archives {
  readonly #root: string;
  #before = new Map<string, { stamp: string; listing: Listing | null }>();
  #now = new Map<string, { stamp: string; listing: Listing | null }>();

  constructor(root: string) {
    this.#root = root;
  }

  /** Forgets those that the last look at the bundle did not ask for. */
  nextLook(): void {
    this.#before = this.#now;
    this.#now = new Map();
  }

  list(path: string): Listing | null {
    const stamp = stampOf(join(this.#root, path));
    const known = this.#before.get(path);
    const found = known?.stamp === stamp ? known : { stamp, listing: listArchive(this.#root, path) };
    this.#now.set(path, found);
    return found.listing;
  }
}
