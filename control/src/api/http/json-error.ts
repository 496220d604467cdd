/**
 * Where and why a text is not JSON, in the words of the reference server (Python's json decoder), since clients print them.
 * Called only after `JSON.parse` has refused the text; positions are character offsets.
 */
export type JsonProblem = { readonly position: number; readonly error: string };

class Stop {
  readonly problem: JsonProblem;
  constructor(position: number, error: string) {
    this.problem = { position, error };
  }
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/y;

function skip(text: string, at: number): number {
  SPACE.lastIndex = at;
  SPACE.exec(text);
  return SPACE.lastIndex;
}

/** @param at offset after the opening quote. @returns offset after the closing quote. */
function string(text: string, at: number): number {
  const begin = at - 1;
  for (let i = at; ; i++) {
    if (i >= text.length) throw new Stop(begin, 'Unterminated string starting at');
    const c = text[i]!;
    if (c === '"') return i + 1;
    if (c < ' ') throw new Stop(i, 'Invalid control character at');
    if (c !== '\\') continue;
    const letter = text[++i];
    if (letter === undefined) throw new Stop(begin, 'Unterminated string starting at');
    if (letter === 'u') {
      if (!/^[0-9a-fA-F]{4}$/.test(text.slice(i + 1, i + 5))) throw new Stop(i, 'Invalid \\uXXXX escape');
      i += 4;
    } else if (!'"\\/bfnrt'.includes(letter)) throw new Stop(i - 1, 'Invalid \\escape');
  }
}

function object(text: string, start: number): number {
  let at = skip(text, start);
  if (text[at] === '}') return at + 1;
  if (text[at] !== '"') throw new Stop(at, 'Expecting property name enclosed in double quotes');
  for (;;) {
    at = skip(text, string(text, at + 1));
    if (text[at] !== ':') throw new Stop(at, "Expecting ':' delimiter");
    at = skip(text, value(text, skip(text, at + 1)));
    if (text[at] === '}') return at + 1;
    if (text[at] !== ',') throw new Stop(at, "Expecting ',' delimiter");
    at = skip(text, at + 1);
    if (text[at] !== '"') throw new Stop(at, 'Expecting property name enclosed in double quotes');
  }
}

function array(text: string, start: number): number {
  let at = skip(text, start);
  if (text[at] === ']') return at + 1;
  for (;;) {
    at = skip(text, value(text, at));
    if (text[at] === ']') return at + 1;
    if (text[at] !== ',') throw new Stop(at, "Expecting ',' delimiter");
    at = skip(text, at + 1);
  }
}

/** Recursion is bounded: the text's depth was checked before. */
function value(text: string, at: number): number {
  const c = text[at];
  if (c === '"') return string(text, at + 1);
  if (c === '{') return object(text, at + 1);
  if (c === '[') return array(text, at + 1);
  for (const word of ['null', 'true', 'false']) if (text.startsWith(word, at)) return at + word.length;
  NUMBER.lastIndex = at;
  if (NUMBER.exec(text)) return NUMBER.lastIndex;
  throw new Stop(at, 'Expecting value');
}

/** Finds the first problem. */
export function explainJsonError(text: string): JsonProblem {
  try {
    const end = skip(text, value(text, skip(text, 0)));
    return { position: end, error: end < text.length ? 'Extra data' : 'Expecting value' };
  } catch (error) {
    if (error instanceof Stop) return error.problem;
    throw error;
  }
}
