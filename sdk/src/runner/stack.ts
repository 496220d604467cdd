/** Stack traces as an author wants them: their own files, by path inside the bundle, without our frames. */
import { dirname } from 'node:path';
import { pathToFileURL } from 'node:url';
import { MODULE_ROOT } from './load-module.ts';

const MODULE_PATH = new URL(MODULE_ROOT).pathname;
/** `sdk/src/` as sources, `sdk/` as one bundled file in `sdk/dist/`. */
const OWN_FOLDER = `${dirname(import.meta.dirname)}/`;
/** The same as frames of ES modules name it. */
const OWN_URL = pathToFileURL(OWN_FOLDER).href;
const FRAME = /^\s+at /;
const POSITION = /\(?((?:file:\/\/)?[^()\s]+?):(\d+):(\d+)\)?$/;
const MAX_STACK_CHARACTERS = 32_000;
const MAX_MESSAGE_CHARACTERS = 8_000;
const MAX_CAUSES = 5;

/** Text with paths relative to the bundle, and no frames of Node's or our own machinery. */
export function cleanStack(stack: string): string {
  const lines = stack.split('\n').filter((line) => !FRAME.test(line) || !isMachinery(line));
  return lines.join('\n').replaceAll(MODULE_ROOT, '').replaceAll(MODULE_PATH, '');
}

function isMachinery(line: string): boolean {
  const ours = line.includes(OWN_FOLDER) || line.includes(OWN_URL);
  return ours || line.includes('node:') || /at async Promise\.\w+ \(index \d+\)/.test(line);
}

export type Position = { readonly file: string; readonly line: number; readonly column: number };

/** The first frame that lies in the bundle, or null. `file` is relative to the bundle. */
export function positionOf(stack: string): Position | null {
  for (const line of stack.split('\n')) {
    if (!FRAME.test(line) || isMachinery(line) || !line.includes(MODULE_PATH)) continue;
    const match = POSITION.exec(line.trim());
    const path = match?.[1]?.split(MODULE_PATH)[1];
    if (match && path && !path.endsWith('.mjs')) {
      return { file: decodeURIComponent(path), line: Number(match[2]), column: Number(match[3]) };
    }
  }
  return null;
}

export type ThrownText = { readonly name: string; readonly message: string; readonly stack: string };

/** What was thrown, as text; also for values that are no errors, and for those whose properties throw. */
export function describeThrown(thrown: unknown): ThrownText {
  try {
    if (!(thrown instanceof Error)) {
      const text = typeof thrown === 'string' ? thrown : (JSON.stringify(thrown) ?? String(thrown));
      return { name: 'Thrown', message: text.slice(0, MAX_MESSAGE_CHARACTERS), stack: '' };
    }
    const hint = (thrown as { hint?: unknown }).hint;
    const message = typeof hint === 'string' ? `${thrown.message} ${hint}` : thrown.message;
    return {
      name: String(thrown.name).slice(0, 200),
      message: message.slice(0, MAX_MESSAGE_CHARACTERS),
      stack: stackWithCauses(thrown).slice(0, MAX_STACK_CHARACTERS),
    };
  } catch {
    return { name: 'Thrown', message: 'a value that could not be turned into text', stack: '' };
  }
}

function stackWithCauses(error: Error): string {
  const parts: string[] = [];
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < MAX_CAUSES; at = at.cause, depth++) {
    parts.push(cleanStack(at.stack ?? `${at.name}: ${at.message}`));
  }
  return parts.join('\nCaused by: ');
}
