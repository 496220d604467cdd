/**
 * The frames between a parent and its sandboxed child: 4-byte big-endian length, then UTF-8 JSON.
 * What comes from a child is hostile until checked: its length before a byte of it is kept, its nesting before it is parsed.
 * @see contract/src/ipc/runner.ts
 */

/** Deepest nesting of arrays and objects in a frame from a child. */
export const MAX_FRAME_DEPTH = 64;

/** One frame. @throws RangeError above `maxBytes` */
export function encodeFrame(value: unknown, maxBytes: number): Buffer {
  const body = Buffer.from(JSON.stringify(value), 'utf8');
  if (body.byteLength > maxBytes) throw new RangeError(`a frame of ${body.byteLength} bytes exceeds ${maxBytes}`);
  const frame = Buffer.allocUnsafe(4 + body.byteLength);
  frame.writeUInt32BE(body.byteLength, 0);
  body.copy(frame, 4);
  return frame;
}

/** True when no array or object of the JSON text lies deeper than `max`. Reads bytes; builds nothing. */
export function isShallow(json: Uint8Array, max: number): boolean {
  let depth = 0;
  let inText = false;
  for (let i = 0; i < json.length; i++) {
    const byte = json[i]!;
    if (inText) {
      if (byte === 0x5c) i++;
      else if (byte === 0x22) inText = false;
    } else if (byte === 0x22) inText = true;
    else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > max) return false;
    } else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  return true;
}

/** A frame that breaks the rules; nothing after it is read. */
export class BrokenFrame extends Error {
  constructor(reason: string) {
    super(reason);
    this.name = 'BrokenFrame';
  }
}

/** Cuts a byte stream into frames. `push` returns the whole ones that it completed. */
export class FrameDecoder {
  readonly #maxBytes: number;
  #chunks: Buffer[] = [];
  #have = 0;
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** @throws BrokenFrame for an oversized, unparsable or too deep frame */
  push(chunk: Buffer): unknown[] {
    this.#chunks.push(chunk);
    this.#have += chunk.byteLength;
    const frames: unknown[] = [];
    while (this.#have >= 4) {
      const length = this.#peekLength();
      if (length > this.#maxBytes) {
        throw new BrokenFrame(`a message of ${length} bytes exceeds the limit of ${this.#maxBytes} bytes`);
      }
      if (this.#have < 4 + length) break;
      const all = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
      frames.push(parseBody(all.subarray(4, 4 + length)));
      const rest = all.subarray(4 + length);
      this.#chunks = rest.byteLength === 0 ? [] : [rest];
      this.#have = rest.byteLength;
    }
    return frames;
  }

  #peekLength(): number {
    if (this.#chunks[0]!.byteLength < 4) this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0]!.readUInt32BE(0);
  }
}

function parseBody(body: Buffer): unknown {
  if (!isShallow(body, MAX_FRAME_DEPTH))
    throw new BrokenFrame(`a message is nested deeper than ${MAX_FRAME_DEPTH} levels`);
  try {
    return JSON.parse(body.toString('utf8')) as unknown;
  } catch {
    throw new BrokenFrame('a message is not JSON');
  }
}
