/**
 * The child's end of the channel on descriptor 3: frames of a 4-byte big-endian length and UTF-8 JSON. What comes from the
 * parent is trusted, so it is not checked against a schema here; the parent checks everything that we send.
 */
import { writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { CHANNEL_FD } from '@airlock/contract/ipc/channel-fd';
import { MAX_CHILD_FRAME_BYTES } from '@airlock/contract/ipc/frame-limits';
import type { Answer, FromRunner, RunnerRequest, ToRunner } from '@airlock/contract/ipc/runner';

type WithoutId<T> = T extends { id: number } ? Omit<T, 'id'> : never;
/** A request as a caller writes it; the channel numbers it. */
export type Request = WithoutId<RunnerRequest | Extract<FromRunner, { type: 'trigger_call' }>>;

/** The parent's refusal of a request. `status` is the server's HTTP status, null when it was not asked. */
export class RequestRefused extends Error {
  readonly status: number | null;
  readonly code: string;
  readonly remedy: string | null;
  constructor(error: NonNullable<Answer['error']>) {
    super(error.message);
    this.name = 'RequestRefused';
    this.status = error.status;
    this.code = error.code;
    this.remedy = error.remedy ?? null;
  }
}

const HEADER_BYTES = 4;

/** One frame as bytes. @throws RangeError when it is larger than the parent accepts */
export function encodeFrame(frame: unknown): Buffer {
  const body = Buffer.from(JSON.stringify(frame), 'utf8');
  if (body.length > MAX_CHILD_FRAME_BYTES) throw new RangeError(`a message of ${body.length} bytes is too large`);
  const bytes = Buffer.allocUnsafe(HEADER_BYTES + body.length);
  bytes.writeUInt32BE(body.length);
  body.copy(bytes, HEADER_BYTES);
  return bytes;
}

export class Channel {
  readonly #socket: Socket;
  readonly #waiting = new Map<number, { resolve: (value: unknown) => void; reject: (error: Error) => void }>();
  #chunks: Buffer[] = [];
  #have = 0;
  #nextId = 0;

  /**
   * @param onFrame gets every frame but answers.
   * @param onClosed the parent is gone; nothing that happens here matters any more.
   */
  constructor(onFrame: (frame: Exclude<ToRunner, Answer>) => void, onClosed: () => void) {
    this.#socket = new Socket({ fd: CHANNEL_FD, readable: true, writable: true });
    this.#socket.on('data', (chunk: Buffer) => {
      for (const frame of this.#decode(chunk)) {
        if (frame.type === 'answer') this.#settle(frame);
        else onFrame(frame);
      }
    });
    this.#socket.on('close', onClosed);
    this.#socket.on('error', onClosed);
  }

  send(frame: FromRunner): void {
    this.#socket.write(encodeFrame(frame));
  }

  /** Sends and resolves when the bytes have been handed to the kernel. */
  flush(frame: FromRunner): Promise<void> {
    return new Promise((resolve) => this.#socket.write(encodeFrame(frame), () => resolve()));
  }

  /** For the moment when the event loop is over: writes at once, or not at all. */
  sendSync(frame: FromRunner): void {
    try {
      writeSync(CHANNEL_FD, encodeFrame(frame));
    } catch {
      // The parent is gone or not reading; it will see the exit.
    }
  }

  /** @throws RequestRefused */
  request(body: Request): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.send({ ...body, id } as RunnerRequest);
    });
  }

  #settle(frame: Answer): void {
    const waiting = this.#waiting.get(frame.id);
    this.#waiting.delete(frame.id);
    if (frame.error) waiting?.reject(new RequestRefused(frame.error));
    else waiting?.resolve(frame.value);
  }

  #decode(chunk: Buffer): ToRunner[] {
    this.#chunks.push(chunk);
    this.#have += chunk.length;
    const frames: ToRunner[] = [];
    while (this.#have >= HEADER_BYTES) {
      // Joined only when a whole frame may be there, so that a large one is not copied for each chunk.
      const head = this.#chunks[0]!.length >= HEADER_BYTES ? this.#chunks[0]! : this.#join();
      const end = HEADER_BYTES + head.readUInt32BE(0);
      if (this.#have < end) break;
      const all = this.#join();
      frames.push(JSON.parse(all.toString('utf8', HEADER_BYTES, end)) as ToRunner);
      this.#chunks = [all.subarray(end)];
      this.#have = all.length - end;
    }
    return frames;
  }

  #join(): Buffer {
    const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }
}
