import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { after, describe, test } from 'node:test';
import { createClient, targetOf } from '../src/client.ts';
import type { Context } from '../src/context.ts';
import { CliError, EXIT_CODES } from '../src/exit-codes.ts';
import { createOutput } from '../src/output.ts';
import { createProgram } from '../src/program.ts';
import { findToken, saveToken, tokenFile } from '../src/token-store.ts';

const folder = mkdtempSync(join(tmpdir(), 'airlock-cli-'));
const open: Server[] = [];
after(() => {
  for (const server of open) server.close();
  rmSync(folder, { recursive: true, force: true });
});

type Handler = (request: IncomingMessage & { body: string }, answer: ServerResponse) => void;
/** A server on a Unix socket that answers as the test says. @returns the socket's path */
async function listen(handler: Handler): Promise<string> {
  const path = join(folder, `s${open.length}.sock`);
  const server = createServer((request, answer) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => handler(Object.assign(request, { body }), answer));
  });
  open.push(server);
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return path;
}
const answerJson = (answer: ServerResponse, status: number, body: unknown, headers: Record<string, string> = {}) =>
  answer.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));

const collector = (take: (text: string) => void) =>
  ({
    write: (text: string) => {
      take(text);
      return true;
    },
  }) as never;

/** Runs a command against the handler. */
async function command(
  handler: Handler,
  args: readonly string[],
  stdin = '',
): Promise<{ out: string; err: string; error: unknown }> {
  const path = await listen(handler);
  let out = '';
  let err = '';
  const context: Context = {
    env: {},
    home: folder,
    output: createOutput(
      collector((text) => {
        out += text;
      }),
      collector((text) => {
        err += text;
      }),
      {},
    ),
    stdin: Readable.from([stdin]),
    client: () => createClient({ kind: 'socket', path }),
    becomeKeysTool: (words) => {
      throw new Error(`became the tool of keys: ${words.join(' ')}`);
    },
    nowMs: () => 0,
    pause: async () => undefined,
  };
  const error = await createProgram(context, '0')
    .parseAsync(['node', 'airlock', ...args])
    .then(
      () => null,
      (thrown: unknown) => thrown,
    );
  return { out, err, error };
}
const statusOf = (error: unknown) => (error instanceof CliError ? error.exitCode : error === null ? 0 : error);

describe('where requests go', () => {
  test('plain http is taken for loopback only, since it would show the token', () => {
    for (const url of [
      'http://example.org',
      'http://10.0.0.1:8080',
      'http://localhost.evil.org',
      'http://127.0.0.1.evil.org',
    ]) {
      assert.throws(
        () => targetOf(url, 't', ''),
        (error: CliError) => error.exitCode === EXIT_CODES.usage,
        url,
      );
    }
    for (const url of ['http://localhost:1', 'http://127.0.0.1:1', 'http://[::1]:1', 'https://example.org']) {
      assert.equal(targetOf(url, 't', '').kind, 'url', url);
    }
  });

  test('what is no URL of the web is wrong usage', () => {
    for (const url of ['example.org', 'ftp://localhost', 'file:///etc/passwd', '']) {
      assert.throws(
        () => targetOf(url, null, ''),
        (error: CliError) => error.exitCode === EXIT_CODES.usage,
        url,
      );
    }
  });

  test('a socket that is not there means that no server runs', async () => {
    const client = createClient({ kind: 'socket', path: join(folder, 'none.sock') });
    await assert.rejects(
      client.json('GET', '/'),
      (error: CliError) => error.exitCode === EXIT_CODES.unreachable && /no server is running/.test(error.message),
    );
  });

  test('a kept token is for its own server only, and only this user can read it', () => {
    const env = { XDG_CONFIG_HOME: folder };
    saveToken(env, 'https://a.example/x', 'secret-a');
    saveToken(env, 'https://b.example', 'secret-b');
    assert.equal(findToken(env, 'https://a.example'), 'secret-a');
    assert.equal(findToken(env, 'https://c.example'), null);
    assert.equal(findToken({ ...env, AIRLOCK_TOKEN: 'given' }, 'https://a.example'), 'given');
    assert.equal(statSync(tokenFile(env)).mode & 0o777, 0o600);
  });
});

describe('keys', () => {
  const listed = [
    { kid: 'new', alg: 'EdDSA', state: 'next', signs_from: 1_782_864_000, verifies_until: null },
    { kid: 'old', alg: 'EdDSA', state: 'signing', signs_from: null, verifies_until: null },
  ];

  test('a running server is asked, and its refusals are shown', async () => {
    const asked: string[] = [];
    const handler: Handler = (request, answer) => {
      asked.push(`${request.method} ${request.url}`);
      answer.setHeader('content-type', 'application/json');
      if (request.url === '/local/keys/old') answer.statusCode = 409;
      answer.end(JSON.stringify(answer.statusCode === 409 ? { detail: 'it signs' } : { keys: listed }));
    };
    assert.match((await command(handler, ['keys', 'list'])).out, /new +EdDSA +next +2026-07-01T00:00:00Z/);
    assert.match((await command(handler, ['keys', 'rotate'])).out, /the new key new signs from 2026-07-01T00:00:00Z/);
    assert.match((await command(handler, ['keys', 'retire', 'new'])).out, /new is retired/);
    // One name in 64 begins with a dash, and is no option.
    assert.match((await command(handler, ['keys', 'retire', '-J6Qa_Zy'])).out, /^-J6Qa_Zy is retired/);
    const refused = await command(handler, ['keys', 'retire', 'old']);
    assert.match(String(refused.error), /it signs/);
    assert.deepEqual(asked, [
      'GET /local/keys',
      'POST /local/keys',
      'DELETE /local/keys/new',
      'DELETE /local/keys/-J6Qa_Zy',
      'DELETE /local/keys/old',
    ]);
  });
});

describe('what an answer means', () => {
  const cases: ReadonlyArray<readonly [number, unknown, number, RegExp]> = [
    [401, { detail: 'Not authenticated' }, EXIT_CODES.denied, /^Not authenticated$/],
    [403, { detail: 'Forbidden' }, EXIT_CODES.denied, /^Forbidden$/],
    [404, { detail: 'The Dag with ID: `x` was not found' }, EXIT_CODES.notFound, /`x` was not found/],
    [409, { detail: { reason: 'conflict', message: 'taken' } }, EXIT_CODES.failed, /^taken$/],
    [
      422,
      {
        detail: [
          { loc: ['body', 'conf'], msg: 'no object', type: 't' },
          { loc: ['body', 'note'], msg: 'too long' },
        ],
      },
      EXIT_CODES.failed,
      /^conf: no object; note: too long$/,
    ],
    [404, { detail: ['one of a list'] }, EXIT_CODES.notFound, /^one of a list$/],
    [500, {}, EXIT_CODES.failed, /^the server answered 500$/],
  ];
  for (const [status, body, exitCode, words] of cases) {
    test(`${status} ${JSON.stringify(body)} ends with status ${exitCode}`, async () => {
      const { error } = await command(
        (_request, answer) => answerJson(answer, status, body, { 'airlock-remedy': 'Do this.' }),
        ['dags', 'trigger', 'x'],
      );
      assert.ok(error instanceof CliError);
      assert.equal(error.exitCode, exitCode);
      assert.match(error.message, words);
      assert.equal(error.remedy, 'Do this.');
    });
  }
});

describe('commands', () => {
  const run = (state: string) => ({ dag_id: 'x', dag_run_id: 'r1', state, duration: 1.5 });
  const task = (id: string, state: string, index = -1) => ({
    task_id: id,
    map_index: index,
    state,
    try_number: 1,
    duration: 0.5,
    end_date: '2026-01-01T00:00:00Z',
  });

  test('trigger sends conf and prints the id of the run', async () => {
    let sent: unknown;
    const { out } = await command(
      (request, answer) => {
        sent = [request.method, request.url, JSON.parse(request.body)];
        answerJson(answer, 200, run('queued'));
      },
      ['dags', 'trigger', 'a/b', '--conf', '{"day": 1}'],
    );
    assert.deepEqual(sent, ['POST', '/api/v2/dags/a%2Fb/dagRuns', { logical_date: null, conf: { day: 1 } }]);
    assert.equal(out, 'r1\n');
  });

  for (const conf of ['[1]', 'x', '1', 'null']) {
    test(`trigger refuses the conf ${conf} before anything is sent`, async () => {
      let asked = 0;
      const { error } = await command(() => asked++, ['dags', 'trigger', 'x', '--conf', conf]);
      assert.equal((error as { code?: string }).code, 'commander.invalidArgument');
      assert.equal(asked, 0);
    });
  }

  for (const [state, status] of [
    ['success', 0],
    ['failed', EXIT_CODES.failed],
  ] as const) {
    test(`trigger --wait shows each task once and ends with ${status} when the run is a ${state}`, async () => {
      let looks = 0;
      const { out, error } = await command(
        (request, answer) => {
          if (request.url!.includes('/taskInstances')) {
            const tasks = looks < 2 ? [task('a', 'running')] : [task('a', state), task('b', 'success', 3)];
            return answerJson(answer, 200, { task_instances: tasks, total_entries: tasks.length });
          }
          if (request.method === 'POST') return answerJson(answer, 200, run('queued'));
          looks++;
          answerJson(answer, 200, run(looks < 3 ? 'running' : state));
        },
        ['dags', 'trigger', 'x', '--wait'],
      );
      assert.equal(statusOf(error), status);
      assert.deepEqual(out.split('\n').filter((line) => line.startsWith('  ')).length, 2);
      assert.match(out, /success {2}b\[3\]/);
      assert.match(out, new RegExp(`^${state} in 1.50 s$`, 'm'));
    });
  }

  test('a password is read from standard input and goes into the body only', async () => {
    let seen: string[] = [];
    const { out, error } = await command(
      (request, answer) => {
        seen = [request.url!, JSON.stringify(request.headers), request.body];
        answerJson(answer, 201, {});
      },
      ['users', 'create', 'bob', '--role', 'op', '--password-stdin'],
      'a long password indeed\n',
    );
    assert.equal(statusOf(error), 0);
    assert.match(seen[2]!, /a long password indeed/);
    assert.doesNotMatch(seen[0]! + seen[1]! + out, /long password/);
  });

  test('a password is refused as an argument, and an empty one too', async () => {
    const extra = await command(() => undefined, ['users', 'create', 'bob', 'secret', '--role', 'op']);
    assert.equal((extra.error as { code?: string }).code, 'commander.excessArguments');
    const empty = await command(() => undefined, ['users', 'create', 'bob', '--role', 'op', '--password-stdin'], '\n');
    assert.equal(statusOf(empty.error), EXIT_CODES.usage);
  });

  test('lists ask for page after page until all rows are there', async () => {
    const all = Array.from({ length: 230 }, (_, i) => ({ dag_id: `d${i}`, owners: [], tags: [] }));
    const { out } = await command(
      (request, answer) => {
        const query = new URL(request.url!, 'http://x').searchParams;
        const offset = Number(query.get('offset'));
        if (request.url!.includes('importErrors'))
          return answerJson(answer, 200, { total_entries: 0, import_errors: [] });
        answerJson(answer, 200, {
          dags: all.slice(offset, offset + Number(query.get('limit'))),
          total_entries: all.length,
        });
      },
      ['dags', 'list', '--json'],
    );
    assert.equal((JSON.parse(out) as unknown[]).length, 230);
  });
});

describe('output', () => {
  test('has colours on a terminal only, and none under NO_COLOR', () => {
    const painted = (isTTY: boolean, env: NodeJS.ProcessEnv) =>
      createOutput({ write: () => true, isTTY } as never, { write: () => true } as never, env).paint('red', 'x');
    assert.equal(painted(true, {}), '\u001b[31mx\u001b[39m');
    assert.equal(painted(false, {}), 'x');
    assert.equal(painted(true, { NO_COLOR: '1' }), 'x');
    assert.equal(painted(true, { TERM: 'dumb' }), 'x');
  });
});
