/** Why a repository gives no files, told so that whoever runs it knows what to do. */
import { AppError } from '@airlock/contract/errors';
import type { GitAnswer } from '@airlock/proc/git';

/** Of git's own words, the first that fits; in its C locale. */
const REMEDIES: ReadonlyArray<readonly [RegExp, string]> = [
  [/exec: git: not found|spawn /, 'Install git on this host.'],
  [
    /No space left|ENOSPC|Disk quota|EDQUOT|File too large|EFBIG|unable to write file/,
    'Free space where the supervisor keeps its work folder, or make what the repository holds smaller.',
  ],
  [
    /could not read (Username|Password)|Authentication failed|terminal prompts disabled|error: 40[13]|Permission denied|EACCES/,
    'Make the repository readable without a log-in for the host that fetches it.',
  ],
  [
    /repository '.*' not found|does not appear to be a git repository|does not exist|error: 404/,
    'Bring the repository back, or correct repo_url.',
  ],
  [
    /unable to access|Could not resolve|timed out|early EOF|hung up/,
    'Is its host reachable from here, and its certificate one that this host trusts?',
  ],
];
const MAX_DETAIL = 300;

/** @param what of the repository, as the end of a sentence @param detail the words of git or of the system */
export function unavailable(url: string, what: string, detail = '', remedy?: string): AppError {
  const shown = detailOf(detail);
  return new AppError('BUNDLE_UNAVAILABLE', {
    public: `The repository ${url} ${what}${shown === '' ? '.' : `: ${shown}.`}`,
    remedy: remedy ?? REMEDIES.find(([words]) => words.test(detail))?.[1],
    internal: detail === '' ? {} : { detail },
  });
}

/** What git came to. */
export function failedGit(url: string, what: string, answer: GitAnswer): AppError {
  return answer.why === 'timeout'
    ? unavailable(url, `${what} in time`, '', 'Is its host slow, or the repository large? It is tried again.')
    : unavailable(url, what, answer.stderr);
}

/** The line that says why, without what could disturb a terminal. The other side may have written it. */
function detailOf(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const line = lines.find((one) => one.startsWith('fatal:')) ?? lines[0] ?? '';
  return line
    .replace(/[^\x20-\x7e]/g, '?')
    .slice(0, MAX_DETAIL)
    .replace(/[.:\s]+$/, '');
}
