/** Starts the SDK's processes as the supervisor does, but without a sandbox: what they say and do is tested here. */
import { spawn } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type {
  FromRunner,
  ParseOutcome,
  RunContext,
  RunnerRequest,
  TaskOutcome,
  ToRunner,
} from '@airlock/contract/ipc/runner';
import { runnerNotice, runnerRequest } from '@airlock/contract/ipc/runner';

const ENTRIES = {
  runner: fileURLToPath(new URL('../../bin/runner.ts', import.meta.url)),
  parser: fileURLToPath(new URL('../../bin/parser.ts', import.meta.url)),
  triggers: fileURLToPath(new URL('../../bin/triggers.ts', import.meta.url)),
};

export type Child = {
  readonly frames: FromRunner[];
  stdout: string;
  stderr: string;
  send(frame: ToRunner): void;
  onFrame: (frame: FromRunner) => void;
  readonly exited: Promise<number | null>;
  kill(): void;
};

/** Every frame is checked against the contract; a broken one fails the test that awaits `exited`. */
export function startChild(entry: keyof typeof ENTRIES): Child {
  const started = spawn(process.execPath, [ENTRIES[entry]], { stdio: ['ignore', 'pipe', 'pipe', 'pipe'], env: {} });
  const channel = started.stdio[3] as Socket;
  channel.on('error', () => undefined);
  let buffer = Buffer.alloc(0);
  const child: Child = {
    frames: [],
    stdout: '',
    stderr: '',
    send(frame) {
      const body = Buffer.from(JSON.stringify(frame));
      const head = Buffer.alloc(4);
      head.writeUInt32BE(body.length);
      channel.write(Buffer.concat([head, body]));
    },
    onFrame: () => undefined,
    exited: new Promise((resolve, reject) => {
      started.on('close', (code) => resolve(code));
      started.on('error', reject);
    }),
    kill: () => started.kill('SIGKILL'),
  };
  started.stdout!.on('data', (chunk) => {
    child.stdout += chunk;
  });
  started.stderr!.on('data', (chunk) => {
    child.stderr += chunk;
  });
  channel.on('data', (chunk: Buffer) => {
    buffer = Buffer.concat([buffer, chunk]);
    while (buffer.length >= 4 && buffer.length >= 4 + buffer.readUInt32BE(0)) {
      const end = 4 + buffer.readUInt32BE(0);
      const raw: unknown = JSON.parse(buffer.toString('utf8', 4, end));
      buffer = buffer.subarray(end);
      const request = runnerRequest.safeParse(raw);
      const frame: FromRunner = request.success ? request.data : runnerNotice.parse(raw);
      child.frames.push(frame);
      child.onFrame(frame);
    }
  });
  return child;
}

/** Parses a file of a bundle folder. */
export async function parseFile(bundleRoot: string, relative: string, more: object = {}): Promise<ParseOutcome> {
  const child = startChild('parser');
  child.send({
    type: 'parse',
    bundle_root: bundleRoot,
    file: `${bundleRoot}/${relative}`,
    relative_fileloc: relative,
    fileloc: `/dags/${relative}`,
    bundle_name: 'dags-folder',
    ...more,
  });
  await child.exited;
  const parsed = child.frames.find((frame) => frame.type === 'parsed');
  if (!parsed) throw new Error(`no report; stderr: ${child.stderr}`);
  return parsed;
}

export const CONTEXT: RunContext = {
  dag_id: 'd',
  run_id: 'manual__1',
  task_id: 't',
  map_index: -1,
  try_number: 1,
  max_tries: 0,
  logical_date: '2026-01-01T00:00:00Z',
  data_interval_start: '2026-01-01T00:00:00Z',
  data_interval_end: '2026-01-01T00:00:00Z',
  run_after: '2026-01-01T00:00:00Z',
  run_type: 'manual',
  conf: {},
  start_date: '2026-01-01T00:00:00Z',
  reschedule_count: 0,
  should_retry: false,
};

export type Answers = (request: RunnerRequest) => { value?: unknown; status?: number; code?: string };
export type Ran = { readonly outcome: TaskOutcome | null; readonly child: Child; readonly code: number | null };

/** Runs one task of a module in a fresh runner. */
export async function runTask(
  code: string,
  context: Partial<RunContext>,
  answers: Answers = () => ({ status: 404 }),
): Promise<Ran> {
  const child = startChild('runner');
  child.onFrame = (frame) => {
    if (!('id' in frame) || frame.type === 'trigger_call' || frame.type === 'trigger_event') return;
    const { value, status, code: errorCode } = answers(frame);
    if (status === undefined) child.send({ type: 'answer', id: frame.id, value });
    else {
      const error = {
        status,
        code: errorCode ?? (status === 404 ? 'NOT_FOUND' : 'NOT_ENTITLED'),
        message: `refused with ${status}`,
      };
      child.send({ type: 'answer', id: frame.id, error });
    }
  };
  child.send({
    type: 'start',
    module: { hash: '0'.repeat(64), code, filename: 'dags.ts' },
    context: { ...CONTEXT, ...context },
    work_dir: '/tmp',
  });
  const exit = await child.exited;
  const result = child.frames.find((frame) => frame.type === 'result');
  return { outcome: result?.outcome ?? null, child, code: exit };
}
