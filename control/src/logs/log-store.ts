/** Task logs as files beneath one root. Workers and tasks never touch this folder; they send lines. */
import { closeSync, fstatSync, write, writeSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { AppError } from '@airlock/contract/errors';
import { openToRead, openToWrite, removeBeneath } from './beneath.ts';
import { type LogRef, logParts, logPath, runLogParts } from './log-path.ts';

export type LogStore = {
  /**
   * Appends bytes that start at `base + offset`; what overlaps with bytes written before is dropped, so a repeat is harmless.
   * @returns size of the log from `base` on, bytes.
   * @throws CONFLICT (`internal.size`) `offset` lies beyond the end · BODY_TOO_LARGE the log of this try is full
   */
  readonly append: (
    ref: LogRef,
    at: { readonly base: number; readonly offset: number },
    bytes: Uint8Array,
  ) => Promise<number>;
  /** The whole log for reading, or null when there is none. The caller closes the handle. */
  readonly open: (ref: LogRef) => Promise<FileHandle | null>;
  /** Removes all logs of a run that is gone; a later run of that name must begin with empty ones. */
  readonly removeRun: (run: Pick<LogRef, 'dagId' | 'runId'>) => Promise<void>;
};

/** Filler for the rare log that lost its end in a crash of the machine; an empty line to every reader. */
const LINE_FEED = 0x0a;
/** Up to this size a write into the page cache is quicker than handing it to another thread. */
const SMALL_WRITE_BYTES = 64 * 1024;
const writeElsewhere = promisify(write);

/** Writes everything, however many calls it takes. @throws ENOSPC and its kin */
async function writeAll(file: number, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.byteLength; ) {
    const left = bytes.byteLength - done;
    done +=
      left <= SMALL_WRITE_BYTES
        ? writeSync(file, bytes, done, left, position + done)
        : (await writeElsewhere(file, bytes, done, left, position + done)).bytesWritten;
  }
}

export function createLogStore(options: { readonly root: string; readonly maxBytes: number }): LogStore {
  /** Appends to one file go one after the other. */
  const tails = new Map<string, Promise<unknown>>();

  const inTurn = async <T>(key: string, work: () => Promise<T>): Promise<T> => {
    const before = tails.get(key) ?? Promise.resolve();
    const mine = before.then(work, work);
    tails.set(key, mine);
    try {
      return await mine;
    } finally {
      if (tails.get(key) === mine) tails.delete(key);
    }
  };

  const append = async (
    ref: LogRef,
    { base, offset }: { readonly base: number; readonly offset: number },
    bytes: Uint8Array,
  ): Promise<number> => {
    const position = base + offset;
    if (position + bytes.byteLength > options.maxBytes) {
      throw new AppError('BODY_TOO_LARGE', {
        public: `The log of this try is larger than ${options.maxBytes} bytes.`,
        remedy: 'Log less, or raise [logging] max_log_bytes.',
      });
    }
    const file = openToWrite(options.root, logParts(ref));
    try {
      const stat = fstatSync(file);
      if (!stat.isFile()) throw new AppError('INTERNAL', { public: 'The log of this try is no plain file.' });
      let { size } = stat;
      if (size < base) {
        await writeAll(file, Buffer.alloc(base - size, LINE_FEED), size);
        size = base;
      }
      if (position > size) {
        throw new AppError('CONFLICT', { public: 'The offset lies beyond the end.', internal: { size: size - base } });
      }
      const fresh = bytes.subarray(Math.min(size - position, bytes.byteLength));
      await writeAll(file, fresh, size);
      return size + fresh.byteLength - base;
    } finally {
      closeSync(file);
    }
  };

  return {
    append: (ref, at, bytes) => inTurn(logPath(ref), () => append(ref, at, bytes)),
    open: (ref) => openToRead(options.root, logParts(ref)),
    removeRun: (run) => removeBeneath(options.root, runLogParts(run)),
  };
}
