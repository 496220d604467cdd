/** Cuts an output stream into lines of bounded length, without cutting a secret in two. */
import { StringDecoder } from 'node:string_decoder';
import type { Masker } from './mask.ts';

/** Longest line that is passed on in one piece, characters. */
export const MAX_LINE = 16_384;

export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8');
  readonly #masker: Masker;
  readonly #emit: (line: string) => void;
  readonly #maxLine: number;
  #rest = '';

  constructor(masker: Masker, emit: (line: string) => void, maxLine = MAX_LINE) {
    this.#maxLine = maxLine;
    this.#masker = masker;
    this.#emit = emit;
  }

  push(chunk: Buffer): void {
    this.#rest += this.#decoder.write(chunk);
    let from = 0;
    for (let end = this.#rest.indexOf('\n'); end >= 0; end = this.#rest.indexOf('\n', from)) {
      this.#line(this.#rest.slice(from, end));
      from = end + 1;
    }
    this.#rest = this.#rest.slice(from);
    // What stays behind is longer than any secret, so that one which has begun is still whole when its end comes.
    const kept = this.#masker.longest;
    while (this.#rest.length > this.#maxLine + 2 * kept) {
      this.#rest = this.#masker.mask(this.#rest);
      if (this.#rest.length <= this.#maxLine + kept) break;
      this.#emit(this.#rest.slice(0, this.#maxLine));
      this.#rest = this.#rest.slice(this.#maxLine);
    }
  }

  /** The stream has ended: what is left is a line. */
  end(): void {
    this.#rest += this.#decoder.end();
    if (this.#rest !== '') this.#line(this.#rest);
    this.#rest = '';
  }

  #line(text: string): void {
    let line = this.#masker.mask(text.endsWith('\r') ? text.slice(0, -1) : text);
    for (; line.length > this.#maxLine; line = line.slice(this.#maxLine)) this.#emit(line.slice(0, this.#maxLine));
    this.#emit(line);
  }
}
