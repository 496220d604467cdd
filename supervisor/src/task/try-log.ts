/**
 * The log of one try, on its way to the server: lines in the order in which they came, in batches, masked, bounded.
 * The task is held back (its output streams are paused) while more waits here than is being sent.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '@airlock/contract/clock';
import type { ExecutionClient, TokenHolder } from '../client/index.ts';
import { type LineSink, type LogSource, logLine, plainLine } from './log-line.ts';
import type { Masked, Masker } from './mask.ts';

/** A batch is sent when it has this many bytes, or after BATCH_MS. Half of what the server accepts. */
const BATCH_BYTES = 1024 * 1024;
const BATCH_MS = 100;
const HOLD_BACK_BYTES = 4 * BATCH_BYTES;
/** Kept free below the cap for the supervisor's own last lines. */
const RESERVE_BYTES = 16 * 1024;
const HTTP_CONFLICT = 409;
const HTTP_TOO_LARGE = 413;

export type TryLogOptions = {
  readonly client: ExecutionClient;
  readonly token: TokenHolder;
  readonly taskInstanceId: string;
  readonly masker: Masker;
  readonly clock: Clock;
  /** `[logging] max_log_bytes`. */
  readonly maxBytes: number;
  /** Called with true when output should stop for a while, and with false when it may go on. */
  readonly hold: (on: boolean) => void;
  /** Bytes that others have sent for this stretch before; default 0. */
  readonly offset?: number;
};

export class TryLog implements LineSink {
  readonly #options: TryLogOptions;
  #pending: string[] = [];
  #pendingBytes = 0;
  /** Bytes of lines taken in, sent or not. */
  #taken = 0;
  /** Bytes that the server has confirmed. */
  #offset: number;
  #full = false;
  #held = false;
  #closed = false;
  #sending: Promise<void> | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(options: TryLogOptions) {
    this.#offset = options.offset ?? 0;
    this.#options = options;
  }

  get full(): boolean {
    return this.#full || this.#closed;
  }

  add(
    source: LogSource,
    level: string,
    event: string,
    fields?: Readonly<Record<string, unknown>>,
    atMs?: number,
  ): void {
    if (this.full && source !== 'airlock') return;
    const { masker, clock } = this.#options;
    this.#append(logLine(masker, source, level, event, fields, atMs ?? clock.nowMs()), source === 'airlock');
  }

  addLine(source: 'task.stdout' | 'task.stderr', level: string, line: Masked): void {
    if (this.full) return;
    this.#append(plainLine(source, level, line, this.#options.clock.nowMs()), false);
  }

  #append(line: string, own: boolean): void {
    if (this.#closed || (this.#full && !own)) return;
    const bytes = Buffer.byteLength(line) + 1;
    const { maxBytes } = this.#options;
    const room = (own ? maxBytes : maxBytes - RESERVE_BYTES) - this.#taken;
    if (bytes > room) {
      if (own || this.#full) return;
      this.#full = true;
      this.add(
        'airlock',
        'warning',
        `The log of this try has reached its limit of ${maxBytes} bytes; further output is dropped.`,
      );
      return;
    }
    this.#taken += bytes;
    this.#pending.push(line);
    this.#pendingBytes += bytes;
    if (this.#pendingBytes >= HOLD_BACK_BYTES) this.#hold(true);
    if (this.#pendingBytes >= BATCH_BYTES) void this.#send();
    else this.#timer ??= setTimeout(() => void this.#send(), BATCH_MS).unref();
  }

  #hold(on: boolean): void {
    if (this.#held === on) return;
    this.#held = on;
    this.#options.hold(on);
  }

  /** Everything taken in so far has been sent, or given up, when this resolves. Never rejects. */
  async flush(): Promise<void> {
    while (this.#pendingBytes > 0 || this.#sending !== null) await this.#send();
  }

  /** Nothing more is sent: the try is no longer ours. */
  close(): void {
    this.#closed = true;
    this.#drop();
  }

  #drop(): void {
    this.#pending = [];
    this.#pendingBytes = 0;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#hold(false);
  }

  #send(): Promise<void> {
    this.#sending ??= this.#sendPending().finally(() => {
      this.#sending = null;
    });
    return this.#sending;
  }

  #takeBatch(): string {
    let bytes = 0;
    let count = 0;
    for (; count < this.#pending.length && bytes < BATCH_BYTES; count++) {
      bytes += Buffer.byteLength(this.#pending[count]!) + 1;
    }
    const lines = this.#pending.splice(0, count);
    this.#pendingBytes = Math.max(0, this.#pendingBytes - bytes);
    return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
  }

  async #sendPending(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (let batch = this.#takeBatch(); batch !== ''; batch = this.#takeBatch()) {
      if (!(await this.#sendBatch(Buffer.from(batch)))) {
        this.#drop();
        this.#closed = true;
        return;
      }
      if (this.#pendingBytes < HOLD_BACK_BYTES / 2) this.#hold(false);
    }
  }

  /** @returns false when the server takes no more of this log */
  async #sendBatch(body: Buffer): Promise<boolean> {
    const { client, token, taskInstanceId } = this.#options;
    for (let round = 0; round < 3; round++) {
      try {
        const answer = await client.call({
          token,
          method: 'POST',
          path: `/task-instances/${taskInstanceId}/logs?offset=${this.#offset}`,
          body,
          contentType: 'application/x-ndjson',
        });
        if (answer.status === 200) {
          this.#offset += body.byteLength;
          return true;
        }
        if (answer.status === HTTP_CONFLICT) {
          // The server's copy is shorter than we thought: lines before are lost there, those to come are not.
          const size = answer.json<{ size?: unknown }>().size;
          if (typeof size !== 'number') return false;
          this.#offset = size;
          continue;
        }
        if (answer.status === HTTP_TOO_LARGE) return false;
        if (answer.status < 500) return false;
      } catch {
        // Unreachable for all attempts of one call: wait a little, then try this batch again.
      }
      await delay(500 * (round + 1));
    }
    return true; // given up: the next batch may fare better
  }
}
