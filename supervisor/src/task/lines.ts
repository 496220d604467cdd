/** Cuts an output stream into lines of bounded length, masked, without cutting a secret in two. */
import { StringDecoder } from 'node:string_decoder';
import type { Masked, Masker } from './mask.ts';

/** Longest line that is passed on in one piece, characters. */
export const MAX_LINE = 16_384;

const CARRIAGE_RETURN = 13;

export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8');
  readonly #masker: Masker;
  readonly #emit: (line: Masked) => void;
  readonly #maxLine: number;
  #rest = '';

  constructor(masker: Masker, emit: (line: Masked) => void, maxLine = MAX_LINE) {
    this.#maxLine = maxLine;
    this.#masker = masker;
    this.#emit = emit;
  }

  push(chunk: Buffer): void {
    this.#rest += this.#decoder.write(chunk);
    this.#lines();
    // What stays behind is longer than any secret, so that one which has begun is still whole when its end comes.
    const kept = this.#masker.longest;
    if (this.#rest.length <= this.#maxLine + 2 * kept) return;
    this.#rest = this.#masker.mask(this.#rest);
    let from = 0;
    for (; this.#rest.length - from > this.#maxLine + kept; from += this.#maxLine)
      this.#emit(this.#rest.slice(from, from + this.#maxLine) as Masked);
    this.#rest = this.#rest.slice(from);
  }

  /** Whole lines. All of them are searched at once, and only those where something may be are looked at alone. */
  #lines(): void {
    const text = this.#rest;
    const to = text.lastIndexOf('\n') + 1;
    let suspect = this.#masker.find(text, 0, to);
    let from = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
      const line = text.slice(from, end > from && text.charCodeAt(end - 1) === CARRIAGE_RETURN ? end - 1 : end);
      from = end + 1;
      if (suspect < 0 || suspect >= end) this.#line(line as Masked);
      else {
        this.#line(this.#masker.mask(line));
        suspect = this.#masker.find(text, from, to);
      }
    }
    this.#rest = text.slice(from);
  }

  /** The stream has ended: what is left is a line. */
  end(): void {
    const text = this.#rest + this.#decoder.end();
    if (text !== '') this.#line(this.#masker.mask(text.endsWith('\r') ? text.slice(0, -1) : text));
    this.#rest = '';
  }

  #line(line: Masked): void {
    let from = 0;
    for (; line.length - from > this.#maxLine; from += this.#maxLine)
      this.#emit(line.slice(from, from + this.#maxLine) as Masked);
    this.#emit((from === 0 ? line : line.slice(from)) as Masked);
  }
}
