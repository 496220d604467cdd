/**
 * Which regular expressions of Dag files may be run in control. JavaScript's engine backtracks, so a pattern that repeats a
 * group which itself repeats or has alternatives can take longer than the universe over thirty characters. Refusing that shape
 * is stricter than needed and never too lax for exponential time.
 */

const MAX_PATTERN_LENGTH = 500;

/** @returns why the pattern is refused, or null. */
export function refusePattern(pattern: string): string | null {
  if (pattern.length > MAX_PATTERN_LENGTH) return `it is longer than ${MAX_PATTERN_LENGTH} characters`;
  try {
    new RegExp(pattern, 'u');
  } catch {
    return 'it is not a regular expression';
  }
  // One entry per open group: whether something in it repeats or branches. The first is the pattern itself.
  const branching = [false];
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i]!;
    if (c === '\\') {
      if (/[1-9k]/.test(pattern[i + 1] ?? '')) return 'it has a back reference';
      i += 1;
    } else if (c === '[') i = endOfClass(pattern, i);
    else if (c === '(') branching.push(false);
    else if (c === '|' || isRepeat(pattern, i)) branching[branching.length - 1] = true;
    else if (c === ')') {
      const inner = branching.pop() === true;
      if (inner && isRepeat(pattern, i + 1)) return 'it repeats a group that itself repeats or has alternatives';
      if (inner) branching[branching.length - 1] = true;
    }
  }
  return null;
}

function endOfClass(pattern: string, start: number): number {
  for (let i = start + 1; i < pattern.length; i++) {
    if (pattern[i] === '\\') i += 1;
    else if (pattern[i] === ']') return i;
  }
  return pattern.length;
}

/** `?` alone repeats nothing: it is at most once. */
function isRepeat(pattern: string, i: number): boolean {
  const c = pattern[i];
  return c === '*' || c === '+' || c === '{';
}
