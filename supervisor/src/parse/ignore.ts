/**
 * `.airflowignore`: files and folders of a bundle that are not parsed, in Airflow's two syntaxes. `glob` is that of
 * .gitignore: patterns with a slash count from the folder of the file, others in every folder below it; later ones and
 * those of deeper folders win, `!` takes back. `regexp` is searched in the path from the root of the bundle.
 *
 * Patterns come from whoever may write in the bundle, and are matched in the process that looks after every task: so by
 * V8's linear engine, which never tries again. A pattern that it can't promise that for is left out, and that is said.
 */
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { readInside } from './digest.ts';

export const IGNORE_FILE = '.airflowignore';
export type IgnoreSyntax = 'glob' | 'regexp';

const MAX_BYTES = 256 * 1024;
const MAX_LINE = 1000;
/** Of a folder, those of its parents included. */
const MAX_RULES = 1000;

type Rule = {
  readonly pattern: RegExp;
  readonly takesBack: boolean;
  readonly foldersOnly: boolean;
  /** What the pattern is held against: the path below this folder, or the name alone. */
  readonly below: string | null;
};
export type Rules = readonly Rule[];
export const NO_RULES: Rules = [];

/** @throws SyntaxError for what is no pattern, or can't be matched in time that grows with the text alone */
function linear(source: string): RegExp {
  setFlagsFromString('--enable-experimental-regexp-engine');
  return new RegExp(source, 'l');
}

/** The part of a glob between slashes. */
function translate(glob: string): string {
  let out = '';
  for (let at = 0; at < glob.length; at++) {
    const char = glob[at]!;
    if (char === '*') {
      while (glob[at + 1] === '*') at++;
      out += '[^/]*';
    } else if (char === '?') out += '[^/]';
    else if (char === '[') {
      const end = glob.indexOf(']', at + (/^\[[!^]?\]/.test(glob.slice(at)) ? 3 : 1));
      if (end < 0) throw new SyntaxError('a bracket that is not closed');
      const inner = glob.slice(at + 1, end).replaceAll(/[\\\]]/g, '\\$&');
      out += `[${inner.replace(/^!/, '^')}]`;
      at = end;
    } else {
      if (char === '\\' && at + 1 < glob.length) at++;
      out += glob[at]!.replace(/[\\^$.*+?()[\]{}|/-]/, '\\$&');
    }
  }
  return out;
}

function globRule(text: string, folder: string): Rule | null {
  const takesBack = text.startsWith('!');
  const glob = (takesBack ? text.slice(1) : text).trimEnd();
  const foldersOnly = glob.endsWith('/');
  const parts = glob.split('/').filter((part, at, all) => part !== '' || (at > 0 && at < all.length - 1));
  if (parts.length === 0) return null;
  const anchored = glob.replace(/\/+$/, '').includes('/');
  const last = parts.length - 1;
  const source = parts.map((part, at) => {
    if (part !== '**') return translate(part) + (at < last ? '\\/' : '');
    return at < last ? '(?:[^/]+\\/)*' : '.+';
  });
  return { pattern: linear(`^${source.join('')}$`), takesBack, foldersOnly, below: anchored ? folder : null };
}

/**
 * The rules that hold in a folder: its parent's, and those of its own file.
 * @param folder relative to the root, `''` for the root itself
 * @param onBad told of a line that is no pattern; by its number, since the file may be anybody's
 */
export function rulesOf(
  root: string,
  folder: string,
  parents: Rules,
  syntax: IgnoreSyntax,
  onBad: (file: string, line: number) => void,
): Rules {
  const file = join(folder, IGNORE_FILE);
  const content = readInside(join(root, file), [root]);
  if (content === null) return parents;
  const rules: Rule[] = [...parents];
  const lines = content.subarray(0, MAX_BYTES).toString('utf8').split('\n');
  for (const [index, line] of lines.entries()) {
    const comment = line.indexOf('#');
    const text = (comment < 0 ? line : line.slice(0, comment)).trimEnd();
    if (text === '') continue;
    try {
      if (rules.length === MAX_RULES || text.length > MAX_LINE) throw new RangeError('more than is looked at');
      const rule = syntax === 'glob' ? globRule(text, folder) : regexpRule(text);
      if (rule !== null) rules.push(rule);
    } catch {
      onBad(file, index + 1);
      if (rules.length === MAX_RULES) break;
    }
  }
  return rules;
}

const regexpRule = (text: string): Rule => ({
  pattern: linear(text),
  takesBack: false,
  foldersOnly: false,
  below: '',
});

/** Steps that the rules of one scan may still take: some 12 ns each, in the process that looks after every task. */
export type Effort = { left: number };
export const newEffort = (): Effort => ({ left: 50_000_000 });

/** @param path relative to the root of the bundle @returns null when there is no effort left to find out */
export function isIgnored(path: string, isFolder: boolean, rules: Rules, effort: Effort): boolean | null {
  let ignored = false;
  for (const { pattern, takesBack, foldersOnly, below } of rules) {
    if (foldersOnly && !isFolder) continue;
    const text =
      below === null ? path.slice(path.lastIndexOf('/') + 1) : below === '' ? path : path.slice(below.length + 1);
    effort.left -= pattern.source.length * text.length;
    if (effort.left < 0) return null;
    if (pattern.test(text)) ignored = !takesBack;
  }
  return ignored;
}
