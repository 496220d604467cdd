/** The worker role, whole: a server over real HTTP, real sandboxed runners, tasks of every behaviour. */
import { deepEqual, doesNotMatch, equal, match, ok } from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { probeTier } from '../../proc/src/sandbox/detect.ts';
import { waitFor } from '../../tests/kit/wait.ts';
import { tokenOf } from './kit/fake-server.ts';
import { commandLines, isAlive } from './kit/processes.ts';
import { startTestWorker } from './kit/worker.ts';

test('a task that returns a value ends as success, with its value stored and its words in the log', async () => {
  await using worker = await startTestWorker();
  const { state, log, id } = await worker.runTask(
    "console.log('from stdout'); console.error('from stderr'); context.log.info('from log'); return { a: 1 };",
  );
  equal(state, 'success', log);
  deepEqual([...worker.server.xcoms.values()], [{ a: 1 }]);
  match(log, /\[task.stdout info\] from stdout/);
  match(log, /\[task.stderr error\] from stderr/);
  match(log, /\[task info\] from log/);
  match(log, new RegExp(`sandbox tier ${worker.tier}`));
  // All lines and the result are with the server before the state is.
  const order = worker.server.calls
    .filter((call) => call.path.includes(id) || call.path.startsWith('/xcoms'))
    .map((call) => call.path.split('/').at(-1));
  equal(order.at(-1), 'state');
});

test('a task that throws ends as failed, and its message and place are in the log', async () => {
  await using worker = await startTestWorker();
  const { state, log, id } = await worker.runTask("throw new TypeError('no such day');");
  equal(state, 'failed');
  match(log, /\[airlock error\] The task failed: TypeError: no such day/);
  match(String(worker.server.logLines(id).at(-1)?.stack), /d\.ts/);
});

test('a failed try with another one left is reported for retry, unless the task says that trying again is useless', async () => {
  await using worker = await startTestWorker();
  const again = await worker.runTask("throw new Error('busy');", { shouldRetry: true });
  equal(again.state, 'up_for_retry');
  const never = await worker.runTask("throw new Fail('wrong input');", { shouldRetry: true });
  equal(never.state, 'failed', never.log);
});

test('a task that skips ends as skipped', async () => {
  await using worker = await startTestWorker();
  const { state, log } = await worker.runTask("throw new Skip('nothing new');");
  equal(state, 'skipped', log);
});

for (const { name, body, line } of [
  {
    name: 'returns a function',
    body: 'return () => 1;',
    line: /The task failed: ResultError: The result is the function/,
  },
  {
    name: 'returns 100 MB',
    body: "return 'x'.repeat(100 * 1024 * 1024);",
    line: /The result is 100\.0 MiB as JSON; the limit is 16 MiB/,
  },
  { name: 'ends its process', body: 'process.exit(7);', line: /The task ended its own process with status 7/ },
  {
    name: 'kills itself by a signal',
    body: "process.kill(process.pid, 'SIGKILL'); await new Promise(() => {});",
    line: /was killed by SIGKILL before the task had a result/,
  },
  { name: 'aborts', body: 'process.abort();', line: /was killed by SIGABRT before/ },
  { name: 'ends its shell', body: "cp.execSync('kill -9 $PPID');", line: /was killed by SIGKILL before/ },
  {
    name: 'leaves an error that nobody awaits',
    body: "Promise.reject(new Error('lost')); await new Promise((r) => setTimeout(r, 5000));",
    line: /The task failed: Error: lost/,
  },
  {
    name: 'writes rubbish into the channel',
    body: "fs.writeSync(3, 'rubbish rubbish'); await new Promise(() => {});",
    line: /was killed: a message of 1920295522 bytes exceeds the limit/,
  },
  {
    name: 'sends a message that the contract does not have',
    body: "const t = Buffer.from(JSON.stringify({type:'give_me',id:1})); const b = Buffer.alloc(4); b.writeUInt32BE(t.length); fs.writeSync(3, Buffer.concat([b, t])); await new Promise(() => {});",
    line: /was killed: a message does not fit the contract/,
  },
  {
    name: 'sends a message nested 10,000 deep',
    body: "const t = Buffer.from('['.repeat(10000) + ']'.repeat(10000)); const b = Buffer.alloc(4); b.writeUInt32BE(t.length); fs.writeSync(3, Buffer.concat([b, t])); await new Promise(() => {});",
    line: /was killed: a message is nested deeper than 64 levels/,
  },
]) {
  test(`a task that ${name} ends as failed, and its log says why`, async () => {
    await using worker = await startTestWorker();
    const { state, log } = await worker.runTask(body);
    equal(state, 'failed', log);
    match(log, line);
    equal(worker.server.xcoms.size, 0);
    // The paired control: the same worker goes on with an honest task.
    equal((await worker.runTask('return 1;')).state, 'success');
  });
}

test('a task that never ends is asked to stop at its timeout, and killed after the grace period', async () => {
  await using worker = await startTestWorker({ AIRLOCK__WORKERS__KILLED_TASK_CLEANUP_TIME: '0.3' });
  const deaf = await worker.runTask("console.log('busy'); for (;;) {}", { timeoutSeconds: 0.5 });
  equal(deaf.state, 'failed');
  match(deaf.log, /ran longer than its timeout of 0\.5 s and was killed/);
  match(deaf.log, /busy/);
  const polite = await worker.runTask(
    "await new Promise((resolve) => context.signal.addEventListener('abort', resolve)); console.log('cleaned up'); return 1;",
    { timeoutSeconds: 0.5 },
  );
  equal(polite.state, 'failed', 'a value that comes after the timeout is too late');
  match(polite.log, /cleaned up/);
});

test('a task that prints 1 GB ends well; its log stops at the cap and says so; the worker stays small', async () => {
  await using worker = await startTestWorker({ AIRLOCK__LOGGING__MAX_LOG_BYTES: '1000000' });
  const before = process.memoryUsage().rss;
  let highest = 0;
  const watch = setInterval(() => {
    highest = Math.max(highest, process.memoryUsage().rss);
  }, 20);
  const { state, id, log } = await worker.runTask(
    "const line = 'y'.repeat(1023) + '\\n'; for (let i = 0; i < 1024; i++) fs.writeSync(1, line.repeat(1024)); return 1;",
  );
  clearInterval(watch);
  equal(state, 'success', log.slice(-500));
  const size = Buffer.byteLength(worker.server.row(id).log);
  ok(size <= 1_000_000, `${size} bytes`);
  match(log, /has reached its limit of 1000000 bytes/);
  match(log.slice(-500), /The task succeeded/);
  ok(highest - before < 200 * 1024 * 1024, `grew by ${(highest - before) / 1024 / 1024} MiB`);
});

test('what a task was handed is masked in its log, in every form and across the borders of chunks', async () => {
  await using worker = await startTestWorker();
  const password = 'p"ss/wörd+42 &x';
  worker.server.connections.set('db', {
    conn_id: 'db',
    conn_type: 'postgres',
    host: 'h',
    schema: null,
    login: 'u',
    password,
    port: 1,
    extra: JSON.stringify({ key_file: { inner: 'deep-secret-value' } }),
  });
  worker.server.variables.set('api_token', 'token-value-123');
  worker.server.variables.set('region', 'plain-region');
  const { state, log, id } = await worker.runTask(
    `const { password, extra } = context.needs.db; const out = (t) => console.log(t);
     const secret = ${JSON.stringify(password)};
     out(secret); out(JSON.stringify({ secret })); out(encodeURIComponent(secret)); out(Buffer.from(secret).toString('base64'));
     out(Buffer.from('user:' + secret).toString('base64')); out(Buffer.from(secret).toString('base64url')); out(Buffer.from(secret).toString('hex'));
     out('deep-secret-value'); out('token-value-123'); out('plain-region'); context.log.info('x', { secret }); context.log.info(secret);
     fs.writeSync(1, secret.slice(0, 5)); await new Promise((r) => setTimeout(r, 150)); fs.writeSync(1, secret.slice(5) + '\\n');
     fs.writeSync(2, 'z'.repeat(16380) + secret + 'z'.repeat(40000) + '\\n');
     throw new Error('failed with ' + secret);`,
    {
      connections: ['db'],
      variables: ['api_token', 'region'],
      needs: "{ db: connection('db'), t: variable('api_token'), region: variable('region') }",
    },
  );
  equal(state, 'failed', log);
  const raw = worker.server.row(id).log;
  const forms = [
    password,
    JSON.stringify(password).slice(1, -1),
    encodeURIComponent(password),
    Buffer.from(password).toString('base64').slice(0, 16),
    Buffer.from(`user:${password}`).toString('base64').slice(8, 24),
    Buffer.from(password).toString('hex'),
    'deep-secret-value',
    'token-value-123',
  ];
  for (const form of forms) ok(!raw.includes(form), `${form} in ${raw}`);
  match(raw, /plain-region/);
  ok((raw.match(/\*\*\*/g) ?? []).length >= 12);
});

test('a task is told the refusal of the server in the code of the server, and goes on', async () => {
  await using worker = await startTestWorker();
  worker.server.intercept = (_method, path) => (path === '/variables/other' ? 403 : null);
  const { state, log } = await worker.runTask('return 1;', { variables: ['other'], needs: "{ o: variable('other') }" });
  equal(state, 'failed');
  match(log, /NOT_ENTITLED/);
});

for (const status of [404, 409, 410]) {
  test(`a heartbeat answered with ${status} ends the process at once, and nothing more is sent`, async () => {
    await using worker = await startTestWorker({ AIRLOCK__WORKERS__MIN_HEARTBEAT_INTERVAL: '0.1' });
    const id = worker.addTask("console.log('up'); await new Promise(() => {}); setInterval(() => {}, 1000);");
    await waitFor('running', () => worker.server.row(id).heartbeats > 0);
    worker.server.intercept = (_method, path) => (path.endsWith('/heartbeat') ? status : null);
    await waitFor('the try is let go', () => !worker.role.holds().includes(id));
    const calls = worker.server.calls.filter((call) => call.path.includes(id));
    const refused = calls.findIndex((call) => call.status === status);
    deepEqual(
      calls.slice(refused + 1).map((call) => call.path),
      [],
    );
    equal(worker.server.row(id).state, 'running');
    await waitFor('the process is gone', () => !isAlive(worker.server.row(id).pid!));
  });
}

test('three heartbeats in a row that fail otherwise end the try as failed', async () => {
  await using worker = await startTestWorker({ AIRLOCK__WORKERS__MIN_HEARTBEAT_INTERVAL: '0.1' });
  const id = worker.addTask('await new Promise(() => {}); ');
  await waitFor('running', () => worker.server.row(id).heartbeats > 0);
  worker.server.intercept = (_method, path) => (path.endsWith('/heartbeat') ? 503 : null);
  const { state, log } = await worker.outcome(id);
  equal(state, 'failed');
  match(log, /could not be reached for 3 heartbeats/);
});

test('a result and a state reach the server although it fails for a while', async () => {
  await using worker = await startTestWorker();
  let failures = 6;
  worker.server.intercept = (method, path) =>
    failures > 0 && (path.endsWith('/state') || (method === 'POST' && path.startsWith('/xcoms/')))
      ? failures-- % 2 === 0
        ? 503
        : 0
      : null;
  const { state } = await worker.runTask('return 5;');
  equal(state, 'success');
  equal(worker.server.calls.filter((call) => call.path.endsWith('/state') && call.status === 204).length, 1);
});

test('a try starts although the server fails for longer than other calls are repeated', async () => {
  await using worker = await startTestWorker();
  let failures = 7;
  worker.server.intercept = (_method, path) =>
    path.endsWith('/run') && failures > 0 ? (failures-- % 2 === 0 ? 503 : 0) : null;
  const { state } = await worker.runTask('return 5;');
  equal(state, 'success');
  equal(failures, 0);
});

test('a worker that is stopped before the server has let a try start gives it back at once, and runs nothing', async () => {
  const worker = await startTestWorker();
  let asked = 0;
  worker.server.intercept = (_method, path) => (path.endsWith('/run') && ++asked ? 503 : null);
  const id = worker.addTask("console.log('never');");
  await waitFor('the first attempt', () => asked > 0);
  await worker.role.stop();
  ok(worker.server.calls.some((call) => call.path === `/workloads/${id}/exit`));
  equal(worker.server.row(id).log, '');
  await worker[Symbol.asyncDispose]();
});

test('a daemon that a task leaves behind is gone when its state is reported', async () => {
  await using worker = await startTestWorker();
  const { state, log } = await worker.runTask(
    "cp.spawn('setsid', ['sh', '-c', '(sleep 297.5 &) ; exec sleep 297.5'], { detached: true, stdio: 'ignore' }).unref(); await new Promise((r) => setTimeout(r, 100)); return 1;",
  );
  equal(state, 'success', log);
  equal(commandLines().filter((line) => line.includes('sleep 297.5')).length, 0);
});

test('stopping the worker kills what runs and reports it for another try', async () => {
  const worker = await startTestWorker();
  const id = worker.addTask("console.log('up'); await new Promise(() => setInterval(() => {}, 1000));", {
    shouldRetry: true,
  });
  await waitFor('running', () => worker.server.row(id).state === 'running');
  await worker.role.stop();
  equal(worker.server.row(id).state, 'up_for_retry');
  ok(!isAlive(worker.server.row(id).pid!));
  await worker[Symbol.asyncDispose]();
});

test('the environment of a task holds nothing of its worker', async () => {
  process.env.AIRLOCK_PLANTED_SECRET = 'planted';
  await using worker = await startTestWorker();
  const { log } = await worker.runTask(
    'console.log(JSON.stringify(process.env)); console.log(JSON.stringify(process.argv)); return 1;',
  );
  delete process.env.AIRLOCK_PLANTED_SECRET;
  doesNotMatch(log, /planted|worker-token|execution-|workload-/i);
  match(log, /"USER":"task"/);
});

test('a try whose start is refused runs nothing', async () => {
  await using worker = await startTestWorker();
  worker.server.intercept = (_method, path) => (path.endsWith('/run') ? 409 : null);
  const id = worker.addTask("console.log('never');");
  await waitFor('the exit report', () => worker.server.calls.some((call) => call.path === `/workloads/${id}/exit`));
  equal(worker.server.row(id).log, '');
});

test('a workload for another language goes to the command: token on standard input, a listed environment, no root', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'airlock-command-'));
  chmodSync(folder, 0o777);
  const script = join(folder, 'capture.sh');
  writeFileSync(
    script,
    '#!/bin/sh\nt=$1/out.tmp\n{ cat; echo; env; id -u; ls /proc/self/fd | wc -w; } > "$t"\nmv "$t" "$1/out"\n',
    { mode: 0o755 },
  );
  await using worker = await startTestWorker({
    AIRLOCK__WORKERS__COMMAND: `${script} '${folder}'`,
    AIRLOCK__WORKERS__COMMAND_QUEUES: '*',
    AIRLOCK__WORKERS__COMMAND_ENV: 'WANTED',
    WANTED: 'yes',
    UNWANTED_SECRET: 'no',
  });
  const id = worker.addTask('', { foreign: true });
  await waitFor('the exit report', () => worker.server.calls.some((call) => call.path === `/workloads/${id}/exit`));
  const [workload, ...rest] = readFileSync(join(folder, 'out'), 'utf8').split('\n');
  equal((JSON.parse(workload!) as { token: string }).token, tokenOf(`workload-${id}`));
  ok(rest.includes('WANTED=yes'));
  ok(rest.some((line) => line.startsWith('USER=')));
  ok(rest.includes(`AIRFLOW__CORE__EXECUTION_API_SERVER_URL=${worker.server.url}/`));
  doesNotMatch(rest.join(), /UNWANTED|AIRLOCK/);
  const uid = Number(rest.find((line) => /^\d+$/.test(line)));
  ok(uid !== 0, 'never root');
  equal(rest.filter((line) => /^\d+$/.test(line))[1], '4', 'three standard descriptors, and the one of ls');
  equal(
    worker.server.calls.filter((call) => call.path.startsWith('/task-instances/')).length,
    0,
    'the command speaks for itself',
  );
  rmSync(folder, { recursive: true, force: true });
});

test('a workload for another language is refused at once where no command serves its queue', async () => {
  await using worker = await startTestWorker();
  const id = worker.addTask('', { foreign: true });
  await waitFor('the exit report', () => worker.server.calls.some((call) => call.path === `/workloads/${id}/exit`));
  match(
    worker.server.calls.at(-1)!.body + worker.server.calls.map((call) => call.body).join(),
    /No worker runs tasks of other languages/,
  );
});

for (const tier of (['namespaces', 'landlock', 'user'] as const).filter((one) => probeTier(one) === null)) {
  test(`${tier}: a declared connection of type fs opens its folder to every try that declares it, and to no other`, async () => {
    await using worker = await startTestWorker({}, tier);
    const folder = mkdtempSync(join(tmpdir(), 'airlock-fs-'));
    if (process.getuid?.() !== 0) chmodSync(folder, 0o700);
    worker.server.connections.set('out', {
      conn_id: 'out',
      conn_type: 'fs',
      host: null,
      schema: null,
      login: null,
      password: null,
      port: null,
      extra: JSON.stringify({ path: folder }),
    });
    const write = (text: string) =>
      `fs.mkdirSync('${folder}/sub', { recursive: true }); fs.writeFileSync('${folder}/sub/report.txt', '${text}'); return fs.readFileSync('${folder}/sub/report.txt', 'utf8');`;
    const declared = { connections: ['out'], needs: "{ out: connection('out') }" };
    const first = await worker.runTask(write('first'), declared);
    equal(first.state, 'success', first.log);
    // Another try, so another user id where there is root: it must be able to replace what the first one made.
    const second = await worker.runTask(write('second'), declared);
    equal(second.state, 'success', second.log);
    equal(readFileSync(join(folder, 'sub/report.txt'), 'utf8'), 'second');
    // Not declared: the same code, the same path, nothing there.
    const stranger = await worker.runTask(`return fs.readFileSync('${folder}/sub/report.txt', 'utf8');`);
    // What it writes there, where it has a file tree of its own, is its own.
    await worker.runTask(write('stranger'));
    equal(stranger.state, 'failed');
    match(stranger.log, /ENOENT|EACCES/);
    equal(readFileSync(join(folder, 'sub/report.txt'), 'utf8'), 'second');
    rmSync(folder, { recursive: true, force: true });
  });
}

test('a connection of type fs whose folder is not there is said in the log, and the task goes on without it', async () => {
  await using worker = await startTestWorker();
  worker.server.connections.set('out', {
    conn_id: 'out',
    conn_type: 'fs',
    host: null,
    schema: null,
    login: null,
    password: null,
    port: null,
    extra: JSON.stringify({ path: '/nonexistent/airlock' }),
  });
  const { state, log } = await worker.runTask('return 1;', {
    connections: ['out'],
    needs: "{ out: connection('out') }",
  });
  equal(state, 'success', log);
  match(log, /The folder of connection out can't be opened for this task/);
});

test('sixteen tries at once run in sixteen processes, and none waits for another', async () => {
  await using worker = await startTestWorker();
  const ids = Array.from({ length: 16 }, () =>
    worker.addTask('await new Promise((r) => setTimeout(r, 300)); return process.getuid();'),
  );
  const outcomes = await Promise.all(ids.map((id) => worker.outcome(id)));
  deepEqual(new Set(outcomes.map(({ state }) => state)), new Set(['success']));
  equal(new Set(ids.map((id) => worker.server.row(id).pid)).size, 16);
});
