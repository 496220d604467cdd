/**
 * `npm run compare -- [options] [dag_id …]`: the same Python Dags on Airflow 3.3.2 and on Airlock, once each, and what differs.
 * `--examples` takes Airflow's own examples and those of its standard provider instead of the small set beside this file;
 * `--only airlock` runs one side alone and shows its end states; `--limit 120` bounds one run, seconds; `--files a.py,b.py` adds files.
 */
import { cpSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { AIRFLOW_PASSWORD, installAirflow, startAirflow } from '../kit/airflow.ts';
import { ADMIN_PASSWORD, startStandalone } from '../kit/standalone.ts';
import { tempHome } from '../kit/temp-home.ts';
import { differences } from './differ.ts';
import { type Client, connect, type RunEnd } from './side.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    examples: { type: 'boolean', default: false },
    only: { type: 'string' },
    limit: { type: 'string', default: '120' },
    files: { type: 'string', default: '' },
  },
});
const say = (text: string) => process.stderr.write(`${text}\n`);
const limitMs = Number(values.limit) * 1000;
const venv = installAirflow(say);

/** The folders of examples, whole: some of them import their neighbours. */
function fill(folder: string): void {
  if (values.examples) {
    const packages = readdirSync(join(venv, 'lib')).find((name) => name.startsWith('python3'))!;
    const airflow = join(venv, 'lib', packages, 'site-packages/airflow');
    for (const [name, path] of [
      ['core', 'example_dags'],
      ['standard', 'providers/standard/example_dags'],
    ] as const)
      cpSync(join(airflow, path), join(folder, name), {
        recursive: true,
        filter: (file) => !file.includes('__pycache__'),
      });
  } else cpSync(join(import.meta.dirname, 'dags'), folder, { recursive: true });
  for (const file of values.files.split(',')) if (file !== '') cpSync(file, join(folder, basename(file)));
}

async function airlockSide(): Promise<{ client: Client; stop: () => Promise<unknown> }> {
  const home = tempHome();
  fill(join(home.path, 'dags'));
  const airlock = await startStandalone({
    home: home.path,
    env: {
      AIRLOCK__PYTHON__INTERPRETER: venv,
      AIRLOCK__CORE__DAGS_ARE_PAUSED_AT_CREATION: 'true',
      AIRLOCK__PYTHON__POOL_SIZE: '2',
    },
  });
  const client = await connect({ name: 'Airlock', url: airlock.url, user: 'admin', password: ADMIN_PASSWORD });
  const stop = async () => {
    await airlock.stop();
    home[Symbol.dispose]();
  };
  return { client, stop };
}

async function airflowSide(): Promise<{ client: Client; stop: () => Promise<unknown> }> {
  const airflow = await startAirflow(fill, say, { AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION: 'True' });
  const client = await connect({ name: 'Airflow', url: airflow.url, user: 'admin', password: AIRFLOW_PASSWORD });
  return { client, stop: async () => airflow[Symbol.asyncDispose]() };
}

type Ends = {
  readonly ends: ReadonlyMap<string, RunEnd>;
  readonly errors: ReadonlyMap<string, string>;
  readonly edges: ReadonlyMap<string, Array<readonly [string, string]>>;
};

/** Of the side that runs; a side lives in processes of its own, which nobody else ends. */
let stopRunning: (() => Promise<unknown>) | null = null;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void (stopRunning?.() ?? Promise.resolve()).finally(() => process.exit(1)));

/** One side after the other: two at once would fight for the processors. */
async function runAll(name: string, start: typeof airlockSide): Promise<Ends> {
  const { client, stop } = await start();
  stopRunning = stop;
  try {
    const dags = positionals.length > 0 ? positionals : await client.dags();
    const errors = await client.importErrors();
    const ends = new Map<string, RunEnd>();
    const edges = new Map<string, Array<readonly [string, string]>>();
    if (positionals.length > 0) await client.dags();
    for (const dagId of dags) {
      const end = await client.run(dagId, limitMs);
      say(`${name}: ${dagId}: ${end.state}`);
      ends.set(dagId, end);
      if (end.tasks.length > 0) edges.set(dagId, await client.edges(dagId));
    }
    return { ends, errors, edges };
  } finally {
    stopRunning = null;
    await stop();
  }
}

const counts = (end: RunEnd | undefined): string => {
  const by = new Map<string, number>();
  for (const { state } of end?.tasks ?? []) by.set(state ?? 'none', (by.get(state ?? 'none') ?? 0) + 1);
  return [...by]
    .map(([state, n]) => `${n} ${state}`)
    .sort()
    .join(', ');
};
const ours = await runAll('Airlock', airlockSide);
const theirs = values.only === 'airlock' ? null : await runAll('Airflow', airflowSide);
const ids = [...new Set([...ours.ends.keys(), ...(theirs?.ends.keys() ?? [])])].sort();
let alike = 0;
console.log(theirs ? '| Dag | Airflow | Airlock | differs in |' : '| Dag | run | tasks |');
console.log(theirs ? '|---|---|---|---|' : '|---|---|---|');
const absent: RunEnd = { state: 'no Dag', tasks: [], xcoms: new Map() };
for (const id of ids) {
  const mine = ours.ends.get(id) ?? absent;
  if (theirs === null) {
    if (mine.state === 'success') alike++;
    console.log(`| ${id} | ${mine.state} | ${counts(mine)} |`);
    continue;
  }
  const other = theirs.ends.get(id) ?? absent;
  const found = differences(other, mine, ours.edges.get(id) ?? null);
  if (found.length === 0) alike++;
  console.log(
    `| ${id} | ${other.state} | ${mine.state} | ${found.slice(0, 6).join('; ')}${found.length > 6 ? ` (${found.length})` : ''} |`,
  );
}
for (const [file, text] of ours.errors) {
  const same = theirs !== null && [...theirs.errors.keys()].some((name) => basename(name) === basename(file));
  console.log(`\nimport error of ${file}${same ? ' (also on Airflow)' : ''}: ${text.trim().split('\n').at(-1)}`);
}
console.log(theirs ? `\n${alike} of ${ids.length} Dags end alike.` : `\n${alike} of ${ids.length} runs succeeded.`);
process.exitCode = theirs !== null && alike < ids.length ? 1 : 0;
