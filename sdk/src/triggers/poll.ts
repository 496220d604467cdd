/** What every trigger has: its host, and looking again and again. */
import { setTimeout as delay } from 'node:timers/promises';

export type TriggerHost = {
  /** Nobody waits any more. */
  readonly signal: AbortSignal;
  /** GET of a path of the Execution API, in the name of the task that waits. @throws when the server can't be reached */
  ask(path: string): Promise<{ readonly status: number; readonly body: unknown }>;
  log(event: string, fields?: Record<string, unknown>): void;
};

/** The longest that a timer can wait. */
export const LONGEST_MS: number = 2 ** 31 - 1;

/** Looks until there is something. @param look null = not yet; `note` is logged when it differs from the last one */
export async function poll(
  everySeconds: number,
  { signal, log }: TriggerHost,
  look: (note: (text: string) => void) => Promise<unknown>,
): Promise<unknown> {
  let seen = '';
  const note = (text: string) => {
    if (text !== seen) log(text);
    seen = text;
  };
  for (;;) {
    signal.throwIfAborted();
    const found = await look(note);
    if (found !== null) return found;
    await delay(Math.min(everySeconds * 1000, LONGEST_MS), undefined, { signal });
  }
}
