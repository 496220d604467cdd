/** What people see: tables, colours and a spinner on a terminal; plain lines and JSON for scripts. */
import type { WriteStream } from 'node:tty';

export type Output = {
  /** Standard output. */
  readonly line: (text: string) => void;
  readonly json: (value: unknown) => void;
  /** Columns from the longest cell; the heading only when there are rows. */
  readonly table: (heading: readonly string[], rows: ReadonlyArray<readonly string[]>) => void;
  /** Standard error, so that it never mixes with what a script reads. */
  readonly note: (text: string) => void;
  readonly paint: Paint;
  /** A line that is redrawn while something is waited for; does nothing where standard error is no terminal. */
  readonly spinner: () => Spinner;
};
export type Spinner = { readonly show: (text: string) => void; readonly stop: () => void };
type Colour = 'red' | 'green' | 'yellow' | 'blue' | 'dim' | 'bold';
export type Paint = (colour: Colour, text: string) => string;

const CODES: Record<Colour, readonly [number, number]> = {
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  dim: [2, 22],
  bold: [1, 22],
};
const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
/** Between two drawings of the spinner, ms. */
const FRAME_MS = 100;

type Stream = Pick<WriteStream, 'write'> & { readonly isTTY?: boolean; readonly columns?: number };

/** Colours only on a terminal, and never under NO_COLOR (https://no-color.org) or TERM=dumb. */
function wantsColour(stream: Stream, env: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
}

export function createOutput(stdout: Stream, stderr: Stream, env: NodeJS.ProcessEnv): Output {
  const coloured = wantsColour(stdout, env);
  const paint: Paint = (colour, text) =>
    coloured ? `\u001b[${CODES[colour][0]}m${text}\u001b[${CODES[colour][1]}m` : text;
  const line = (text: string) => void stdout.write(`${text}\n`);
  return {
    line,
    json: (value) => line(JSON.stringify(value, null, stdout.isTTY === true ? 2 : 0)),
    note: (text) => void stderr.write(`${text}\n`),
    paint,
    table: (heading, rows) => {
      if (rows.length === 0) return;
      const widths = heading.map((title, i) =>
        Math.max(title.length, ...rows.map((row) => visibleLength(row[i] ?? ''))),
      );
      const draw = (row: readonly string[]) =>
        row
          .map((cell, i) => (i === row.length - 1 ? cell : cell + ' '.repeat(widths[i]! - visibleLength(cell))))
          .join('  ');
      line(paint('dim', draw(heading)));
      for (const row of rows) line(draw(row));
    },
    spinner: () => createSpinner(stderr, env),
  };
}

function visibleLength(text: string): number {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what is looked for
  return text.replace(/\u001b\[\d+m/g, '').length;
}

function createSpinner(stream: Stream, env: NodeJS.ProcessEnv): Spinner {
  if (stream.isTTY !== true || env.TERM === 'dumb' || env.CI) return { show: () => undefined, stop: () => undefined };
  let text = '';
  let frame = 0;
  const draw = () => {
    const width = (stream.columns ?? 80) - 3;
    stream.write(`\r\u001b[2K${FRAMES[frame++ % FRAMES.length]} ${text.slice(0, width)}`);
  };
  let timer: NodeJS.Timeout | undefined;
  return {
    show: (next) => {
      text = next;
      timer ??= setInterval(draw, FRAME_MS);
      draw();
    },
    stop: () => {
      if (timer === undefined) return;
      clearInterval(timer);
      timer = undefined;
      stream.write('\r\u001b[2K');
    },
  };
}

/** A state with the colour that people expect. */
export function paintState(paint: Paint, state: string | null): string {
  const text = state ?? 'none';
  if (text === 'success') return paint('green', text);
  if (['failed', 'upstream_failed'].includes(text)) return paint('red', text);
  if (['running', 'restarting', 'queued', 'scheduled'].includes(text)) return paint('blue', text);
  return ['up_for_retry', 'up_for_reschedule', 'deferred', 'skipped'].includes(text) ? paint('yellow', text) : text;
}

/** `2026-01-02 03:04:05Z` from the wire's instants; a dash for none. */
export function shortInstant(text: string | null | undefined): string {
  return text ? text.replace('T', ' ').replace(/(?:\.\d+)?(?:Z|\+00:00)$/, 'Z') : '-';
}

/** `3.2 s` or `2 min 5 s`. */
export function shortSeconds(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined) return '-';
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}
