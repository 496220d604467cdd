/** Task logs as files beneath one root. Workers and tasks never touch this folder; they send lines. */
import type { FileHandle } from 'node:fs/promises';
import { AppError } from '@airlock/contract/errors';
import { openBeneath } from './beneath.ts';
import { type LogRef, logParts, logPath } from './log-path.ts';

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
};

/** Filler for the rare log that lost its end in a crash of the machine; an empty line to every reader. */
const LINE_FEED = 0x0a;

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

  const append: LogStore['append'] = async (ref, { base, offset }, bytes) => {
    const handle = await openBeneath(options.root, logParts(ref), true);
    if (!handle) throw new AppError('INTERNAL', { public: 'The log could not be opened.' });
    try {
      let { size } = await handle.stat();
      const position = base + offset;
      if (position + bytes.byteLength > options.maxBytes) {
        throw new AppError('BODY_TOO_LARGE', {
          public: `The log of this try is larger than ${options.maxBytes} bytes.`,
          remedy: 'Log less, or raise [logging] max_log_bytes.',
        });
      }
      if (size < base) {
        await handle.write(Buffer.alloc(base - size, LINE_FEED), 0, base - size, size);
        size = base;
      }
      if (position > size) {
        throw new AppError('CONFLICT', { public: 'The offset lies beyond the end.', internal: { size: size - base } });
      }
      const fresh = bytes.subarray(Math.min(size - position, bytes.byteLength));
      if (fresh.byteLength > 0) await handle.write(fresh, 0, fresh.byteLength, size);
      return size + fresh.byteLength - base;
    } finally {
      await handle.close();
    }
  };

  return {
    append: (ref, at, bytes) => inTurn(logPath(ref), () => append(ref, at, bytes)),
    open: (ref) => openBeneath(options.root, logParts(ref), false),
  };
}
