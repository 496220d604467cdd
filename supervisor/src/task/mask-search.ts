/**
 * Finds any of many texts in a stream of output, fast: the algorithm of Wu and Manber (TR-94-17, University of Arizona).
 * The last characters of a window say how far it can move on, and only where they say nowhere is anything compared, so most of
 * a log is never looked at. What it costs is measured by `npm run bench -- --masking`.
 */

export const MASK = '***';
const TABLE_SIZE = 1 << 16;
/** A longer window gains nothing, and its moves must fit into a byte. */
const MAX_WINDOW = 64;
/** Pairs of characters tell so many apart; with more, nearly every pair of letters would be in the table. */
const MANY = 512;
/**
 * Comparisons in vain that a text may cost. One that is made to be expensive, of beginnings of secrets, is not searched to its end but
 * hidden whole; ordinary logs need less than one comparison in ten characters.
 */
const MAX_COST_PER_CHARACTER = 64;
const LEAST_MAX_COST = 4096;

export class FormSearch {
  /** Characters; no form is shorter. */
  readonly #window: number;
  /** Characters at the end of the window by which its move is looked up: 1, 2 or 3. */
  readonly #block: number;
  readonly #moves: Uint8Array;
  /** By the block at the end of the first window of a form: those forms, longest first. */
  readonly #beginning = new Map<number, string[]>();
  #cost = 0;
  #length = 0;

  /** @param forms at least one, none empty */
  constructor(forms: Iterable<string>) {
    const longestFirst = [...forms].sort((a, b) => b.length - a.length);
    this.#window = Math.min(MAX_WINDOW, longestFirst.at(-1)!.length);
    this.#block = Math.min(this.#window, longestFirst.length * this.#window > MANY ? 3 : 2);
    const last = this.#window - this.#block;
    this.#moves = new Uint8Array(TABLE_SIZE).fill(last + 1);
    for (const form of longestFirst) {
      for (let at = 0; at <= last; at++) {
        const hash = this.#hash(form, at);
        this.#moves[hash] = Math.min(this.#moves[hash]!, last - at);
      }
      const others = this.#beginning.get(this.#hash(form, last));
      if (others === undefined) this.#beginning.set(this.#hash(form, last), [form]);
      else others.push(form);
    }
  }

  #hash(text: string, at: number): number {
    const first = text.charCodeAt(at);
    if (this.#block === 1) return first;
    const pair = (first << 8) ^ text.charCodeAt(at + 1);
    if (this.#block === 2) return pair & (TABLE_SIZE - 1);
    return Math.imul((pair << 8) ^ text.charCodeAt(at + 2), 0x9e3779b1) >>> 16;
  }

  /** Length of the longest form that begins there, or 0. */
  #formAt(text: string, at: number, hash: number): number {
    for (const form of this.#beginning.get(hash)!) {
      let same = 0;
      while (same < form.length && text.charCodeAt(at + same) === form.charCodeAt(same)) same++;
      if (same === form.length) return same;
      this.#cost += same + 1;
    }
    return 0;
  }

  /**
   * The first place at or after `from` where a form begins and where it could end before `to`, or -1. A place in a text that
   * costs too much is given too.
   */
  find(text: string, from = 0, to = text.length): number {
    const last = this.#window - this.#block;
    const moves = this.#moves;
    const maxCost = this.#cost + Math.max(LEAST_MAX_COST, (to - from) * MAX_COST_PER_CHARACTER);
    for (let at = from; at <= to - this.#window; ) {
      const hash = this.#hash(text, at + last);
      const move = moves[hash]!;
      if (move > 0) {
        at += move;
        continue;
      }
      this.#length = this.#formAt(text, at, hash);
      if (this.#length > 0 || this.#cost > maxCost) return at;
      at++;
    }
    return -1;
  }

  /** The text with every form in it replaced, from its beginning on, of those that begin at one place the longest. */
  replaceAll(text: string): string {
    let masked = '';
    let from = 0;
    this.#cost = 0;
    const maxCost = Math.max(LEAST_MAX_COST, text.length * MAX_COST_PER_CHARACTER);
    for (let at = this.find(text); at >= 0; at = this.find(text, from)) {
      if (this.#length === 0 || this.#cost > maxCost) return MASK;
      masked += text.slice(from, at) + MASK;
      from = at + this.#length;
    }
    return from === 0 ? text : masked + text.slice(from);
  }
}
