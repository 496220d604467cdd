/** What a callback prints: kept here, its end only, and sent with the report. */

import { MAX_CALLBACK_OUTPUT } from '@airlock/contract/callbacks';
import type { Clock } from '@airlock/contract/clock';
import { type LineSink, type LogSource, logLine, plainLine } from '../task/log-line.ts';
import type { Masked, Masker } from '../task/mask.ts';

export class CallbackOutput implements LineSink {
  readonly #masker: Masker;
  readonly #clock: Clock;
  readonly full = false;
  readonly #lines: string[] = [];
  #length = 0;

  constructor(masker: Masker, clock: Clock) {
    this.#masker = masker;
    this.#clock = clock;
  }

  add(
    source: LogSource,
    level: string,
    event: string,
    fields?: Readonly<Record<string, unknown>>,
    atMs = this.#clock.nowMs(),
  ): void {
    this.#keep(logLine(this.#masker, source, level, event, fields, atMs));
  }

  addLine(source: 'task.stdout' | 'task.stderr', level: string, line: Masked): void {
    this.#keep(plainLine(source, level, line, this.#clock.nowMs()));
  }

  #keep(line: string): void {
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
