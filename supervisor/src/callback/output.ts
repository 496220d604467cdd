/** What a callback prints: kept here, its end only, and sent with the report. */

import { MAX_CALLBACK_OUTPUT } from '@airlock/contract/callbacks';
import type { Clock } from '@airlock/contract/clock';
import type { Masker } from '../task/mask.ts';
import type { LineSink } from '../task/try-log.ts';

export class CallbackOutput implements LineSink {
  readonly #masker: Masker;
  readonly #clock: Clock;
  readonly #lines: string[] = [];
  #length = 0;

  constructor(masker: Masker, clock: Clock) {
    this.#masker = masker;
    this.#clock = clock;
  }

  add(
    source: string,
    level: string,
    event: string,
    fields?: Readonly<Record<string, unknown>>,
    atMs = this.#clock.nowMs(),
  ): void {
    const timestamp = new Date(atMs).toISOString();
    const line = this.#masker.mask(JSON.stringify({ ...fields, timestamp, level, event, logger: source }));
    this.#lines.push(line.slice(-MAX_CALLBACK_OUTPUT + 1));
    this.#length += line.length + 1;
    while (this.#length > 2 * MAX_CALLBACK_OUTPUT && this.#lines.length > 1)
      this.#length -= this.#lines.shift()!.length + 1;
  }

  /** The last lines, as many as the report may hold; masked again, since a secret may have become known late. */
  text(): string {
    const text = this.#masker.mask(this.#lines.map((line) => `${line}\n`).join(''));
    if (text.length <= MAX_CALLBACK_OUTPUT) return text;
    const end = text.slice(-MAX_CALLBACK_OUTPUT);
    return end.slice(end.indexOf('\n') + 1);
  }
}
