/**
 * Runs the system's git: never as root, with an environment that is listed, a configuration that is ours alone, and bounds on
 * time, output and the size of a file. What a repository holds is data: no hook, filter, submodule, helper or link of it acts.
 */
import { spawn } from 'node:child_process';
import { closeDescriptorsOnExec } from './native/process.ts';
import { claim } from './own-pids.ts';

/** The only configuration that it reads beside the bare repositories that it made itself. */
export const GIT_CONFIGURATION = `[core]
hooksPath = /dev/null
fsmonitor = false
symlinks = false
[protocol]
allow = never
[protocol "https"]
allow = always
[protocol "file"]
allow = always
[transfer]
fsckObjects = true
[safe]
directory = *
[gc]
auto = 0
[maintenance]
auto = false
[submodule]
recurse = false
[credential]
helper =
[http]
lowSpeedLimit = 1000
lowSpeedTime = 30
`;

export type GitRun = {
  readonly args: readonly string[];
  readonly cwd: string;
  /** A file with `GIT_CONFIGURATION`, which the user below can read and not change. */
  readonly configFile: string;
  /** Null = our own, where we are not root. */
  readonly uid: number | null;
  readonly timeoutMs: number;
  readonly maxOutput: number;
  readonly indexFile?: string;
};

export type GitAnswer = {
  /** Null = it was killed, or never started. */
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: string;
  readonly why: 'ended' | 'timeout' | 'output' | 'failed';
};

/** Largest file that it may write, in blocks of 512 bytes: 1 GiB. */
const MAX_FILE_BLOCKS = 2_097_152;
const MAX_STDERR = 4_000;

/** Never rejects. */
export function runGit(run: GitRun): Promise<GitAnswer> {
  return new Promise((resolve) => {
    closeDescriptorsOnExec();
    const child = spawn(
      '/bin/sh',
      ['-c', 'ulimit -f "$0" && ulimit -c 0 && umask 022 && exec git "$@"', String(MAX_FILE_BLOCKS), ...run.args],
      {
        cwd: run.cwd,
        env: {
          PATH: '/usr/local/bin:/usr/bin:/bin',
          LANG: 'C',
          HOME: '/nonexistent',
          GIT_CONFIG_NOSYSTEM: '1',
          GIT_CONFIG_GLOBAL: run.configFile,
          GIT_ALLOW_PROTOCOL: 'https:file',
          GIT_TERMINAL_PROMPT: '0',
          GIT_ASKPASS: '/bin/false',
          GIT_ATTR_NOSYSTEM: '1',
          GIT_NO_REPLACE_OBJECTS: '1',
          ...(run.indexFile === undefined ? {} : { GIT_INDEX_FILE: run.indexFile }),
        },
        stdio: ['ignore', 'pipe', 'pipe'],
        detached: true,
        ...(run.uid === null ? {} : { uid: run.uid, gid: run.uid }),
      },
    );
    claim(child);
    const stdout: Buffer[] = [];
    let size = 0;
    let stderr = '';
    let why: GitAnswer['why'] = 'ended';
    const kill = (reason: GitAnswer['why']) => {
      why = reason;
      try {
        if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
      } catch {
        // the group is gone
      }
    };
    const timer = setTimeout(kill, run.timeoutMs, 'timeout');
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > run.maxOutput) kill('output');
      else stdout.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      if (stderr.length < MAX_STDERR) stderr += chunk.toString('utf8').slice(0, MAX_STDERR - stderr.length);
    });
    child.once('error', (error) => {
      clearTimeout(timer);
      resolve({ code: null, stdout: Buffer.alloc(0), stderr: error.message, why: 'failed' });
    });
    child.once('close', (code) => {
      clearTimeout(timer);
      resolve({ code: why === 'ended' ? code : null, stdout: Buffer.concat(stdout), stderr, why });
    });
  });
}
