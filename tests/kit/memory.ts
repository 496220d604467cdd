/** What root can read of a process: every page of its memory, its environment, command line and open files. */
import { createPrivateKey } from 'node:crypto';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, readSync } from 'node:fs';
import { join } from 'node:path';

/** Pieces in which a mapping is read; each overlaps the last one, so that no needle falls between two. */
const PIECE_BYTES = 4 * 1024 * 1024;

export type MemoryScan = {
  /** Bytes that were read. */
  readonly bytes: number;
  /** Names of the needles that were found, with how often. */
  readonly found: ReadonlyMap<string, number>;
};

function occurrences(piece: Buffer, needle: Buffer): number {
  let count = 0;
  for (let at = piece.indexOf(needle); at >= 0; at = piece.indexOf(needle, at + 1)) count += 1;
  return count;
}

/**
 * Looks for byte strings in all readable memory of a process. @param needles name → the forms that it may have
 * @throws Error when the process may not be read, which is not "nothing found"
 */
export function scanMemory(pid: number, needles: ReadonlyMap<string, readonly Buffer[]>): MemoryScan {
  const overlap = Math.max(...[...needles.values()].flat().map((needle) => needle.length)) - 1;
  const found = new Map<string, number>();
  let bytes = 0;
  const memory = openSync(`/proc/${pid}/mem`, 'r');
  const piece = Buffer.alloc(PIECE_BYTES + overlap);
  try {
    for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
      const match = /^([0-9a-f]+)-([0-9a-f]+) (r...) \S+ \S+ (\d+)\s*(.*)$/.exec(line);
      // Devices' and the kernel's own pages are nobody's secrets; program files can't hold what was made after them.
      if (!match || match[5]!.startsWith('[v') || match[5]!.startsWith('/dev/')) continue;
      if (!match[3]!.includes('w') && match[4] !== '0') continue;
      const end = Number.parseInt(match[2]!, 16);
      for (let at = Number.parseInt(match[1]!, 16); at < end; at += PIECE_BYTES) {
        const wanted = Math.min(PIECE_BYTES + overlap, end - at);
        let got: number;
        try {
          got = readSync(memory, piece, 0, wanted, at);
        } catch (error) {
          if (['EIO', 'EFAULT'].includes((error as NodeJS.ErrnoException).code ?? '')) break; // a page that is only reserved
          throw error;
        }
        bytes += Math.min(got, PIECE_BYTES);
        const seen = piece.subarray(0, got);
        for (const [name, forms] of needles)
          for (const form of forms) {
            const count = occurrences(seen, form);
            if (count > 0) found.set(name, (found.get(name) ?? 0) + count);
          }
      }
    }
  } finally {
    closeSync(memory);
  }
  if (bytes === 0) throw new Error(`nothing of process ${pid} could be read`);
  return { bytes, found };
}

/** Paths of the files that a process holds open. */
export function openFiles(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
    try {
      return readlinkSync(`/proc/${pid}/fd/${name}`);
    } catch {
      return [];
    }
  });
}

/** A text as memory may hold it: of one byte or of two for each letter. */
export function textForms(value: string): readonly Buffer[] {
  return [Buffer.from(value), Buffer.from(value, 'utf16le')];
}

/** The keys and passwords that an installation made for itself, by name, each in the forms in which memory may hold it. */
export function installationSecrets(home: string): Map<string, readonly Buffer[]> {
  const secrets = new Map<string, readonly Buffer[]>();
  const signing = join(home, 'keys/signing');
  const forms: Buffer[] = [];
  for (const name of readdirSync(signing).filter((each) => each.endsWith('.pem'))) {
    const pem = readFileSync(join(signing, name), 'utf8');
    const d = Buffer.from(String(createPrivateKey(pem).export({ format: 'jwk' }).d), 'base64url');
    const body = pem.split('\n').find((line) => line !== '' && !line.startsWith('-----'))!;
    forms.push(d, ...textForms(body), ...textForms(d.toString('base64url')), ...textForms(d.toString('hex')));
  }
  secrets.set('signing key', forms);
  for (const name of ['fernet', 'postgres-airlock_owner', 'postgres-airlock_control'])
    secrets.set(name, textForms(readFileSync(join(home, 'keys', name), 'utf8').trim()));
  return secrets;
}
