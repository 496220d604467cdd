/**
 * One scene of the isolation test, started as the user that it is about: a worker with a fake server, a sibling try, things
 * worth stealing, and a hostile task. Prints one JSON line: what the task got, and what the same code gets unprotected.
 */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { SandboxTier } from '@airlock/contract/supervisor-api';
import { becomeNonDumpable, becomeSubreaper } from '../../../proc/src/native/process.ts';
import { claim } from '../../../proc/src/own-pids.ts';
import { commandLines } from '../../../supervisor/test/kit/processes.ts';
import { startTestWorker } from '../../../supervisor/test/kit/worker.ts';
import { waitFor } from '../../kit/wait.ts';
import { type Facts, type Loot, runProbes } from './probes.ts';

const tier = process.argv[2] as SandboxTier;
becomeNonDumpable();
becomeSubreaper();

const home = await mkdtemp(join(tmpdir(), 'airlock-isolation-'));
const plant = async (path: string, text: string) => {
  await mkdir(join(home, path, '..'), { recursive: true, mode: 0o700 });
  writeFileSync(join(home, path), text, { mode: 0o600 });
  return join(home, path);
};
const keyFile = await plant('keys/signing.pem', 'KEY CANARY');
const postgresFile = await plant('postgres/base/1', 'ROW CANARY');
const logFile = await plant('logs/dag_id=d/attempt=1.log', 'LOG CANARY');
await mkdir(join(home, 'run/postgres'), { recursive: true, mode: 0o700 });
const postgresSocket = join(home, 'run/postgres/.s.PGSQL.5432');
const abstractSocket = `airlock-isolation-${process.pid}`;
const servers = [postgresSocket, `\0${abstractSocket}`].map((path) =>
  createServer((socket) => socket.end('SOCKET CANARY')).listen(path),
);

const decoy = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], {
  env: { CANARY: 'ENV CANARY' },
  stdio: 'ignore',
});
// Where no pid namespace ends a try, its worker ends what has been reparented to it and is not its own.
claim(decoy);
const worker = await startTestWorker({}, tier);
const sibling = worker.addTask(
  "fs.writeFileSync('loot', 'WORK CANARY'); console.log(context.workDir); await new Promise(() => setInterval(() => {}, 1000));",
);
await waitFor('the sibling runs', () => worker.server.logLines(sibling).some((line) => line.logger === 'task.stdout'));

/** The sibling's own process, below the shells that keep its namespaces. */
function innermost(pid: number): number {
  const below = readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ')[0];
  return below ? innermost(Number(below)) : pid;
}
const siblingPid = innermost(worker.server.row(sibling).pid!);
const siblingWork = worker.server.logLines(sibling).find((line) => line.logger === 'task.stdout')!.event;
const facts: Facts = {
  supervisorPid: process.pid,
  decoyPid: decoy.pid!,
  siblingPid,
  siblingFile: join(siblingWork, 'loot'),
  keyFile,
  postgresFile,
  postgresSocket,
  logFile,
  abstractSocket,
};

const hostile = await worker.runTask(`return await (${runProbes.toString()})(${JSON.stringify(facts)});`);
const loot = [...worker.server.xcoms.values()][0] as Loot | undefined;

/** The same probes, in a process of the same user that nothing restricts, with a token planted in it. */
async function control(): Promise<Loot> {
  const script = `
    const held = Buffer.from(['execution', '0190f5e3-0000-7000-8000-000000000001'].join('-'));
    const run = ${runProbes.toString()};
    run(JSON.parse(process.argv[1])).then((loot) => console.log(JSON.stringify(loot)), (e) => console.log(JSON.stringify(String(e)))).finally(() => held.length);`;
  const open = { ...facts, supervisorPid: decoy.pid!, siblingPid: decoy.pid!, siblingFile: join(home, 'control-loot') };
  writeFileSync(open.siblingFile, 'WORK CANARY', { mode: 0o600 });
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', '-e', script, JSON.stringify(open)], {
    cwd: home,
    env: { PATH: '/usr/bin:/bin', TOKEN: 'execution-0190f5e3-0000-7000-8000-000000000001' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  claim(child);
  let out = '';
  child.stdout.on('data', (chunk) => {
    out += chunk;
  });
  await new Promise((resolve) => child.once('close', resolve));
  return JSON.parse(out) as Loot;
}
const unprotected = await control();

const daemon =
  "cp.spawn('setsid', ['sh', '-c', '(setsid sleep 4711.25 &) ; sleep 4711.25 & exec sleep 4711.25'], { detached: true, stdio: 'ignore' }).unref(); await new Promise((r) => setTimeout(r, 200)); return 1;";
const left = () => commandLines().filter((line) => line.includes('sleep 4711.25')).length;
const daemonTry = await worker.runTask(daemon);
const daemonsLeft = left();
// The control: started by nobody's sandbox, the same daemons outlive the process that made them.
const plain = spawn(
  process.execPath,
  [
    '-e',
    `const cp = require('node:child_process'); (async () => { ${daemon.replace('return 1;', '')} process.exit(0); })()`,
  ],
  { env: { PATH: '/usr/bin:/bin' }, stdio: 'ignore' },
);
await new Promise((resolve) => plain.once('exit', resolve));
const daemonsControl = left();
for (const name of readdirSync('/proc')) {
  if (!/^\d+$/.test(name)) continue;
  try {
    if (readFileSync(`/proc/${name}/cmdline`, 'utf8').includes('4711.25')) process.kill(Number(name), 'SIGKILL');
  } catch {
    // it ended meanwhile, or is another user's
  }
}

decoy.kill('SIGKILL');
for (const server of servers) server.close();
await worker[Symbol.asyncDispose]();
await rm(home, { recursive: true, force: true });
console.log(
  JSON.stringify({
    tier: worker.tier,
    state: hostile.state,
    log: hostile.log,
    loot,
    unprotected,
    daemonState: daemonTry.state,
    daemonsLeft,
    daemonsControl,
  }),
);
process.exit(0);
