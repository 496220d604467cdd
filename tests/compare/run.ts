/**
 * `npm run compare -- [options] [dag_id …]`: the same Python Dags on Airflow 3.3.2 and on Airlock, once each, and what differs.
 * `--examples` takes Airflow's own examples and those of its standard provider instead of the small set beside this file;
 * `--only airlock` runs one side alone; `--limit 120` bounds one run, seconds, where `limits.ts` has no longer bound; `--at-once 4`
 * runs so many Dags at the same time, most of which wait; `--files a.py,b.py` adds files; `--keep FOLDER`
 * writes down what each Dag came to, and does not run again what is written there; `--write PAGE` makes the page of the result.
 */
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseArgs } from 'node:util';
import { AIRFLOW_PASSWORD, installAirflow, startAirflow } from '../kit/airflow.ts';
import { ADMIN_PASSWORD, startStandalone } from '../kit/standalone.ts';
import { tempHome } from '../kit/temp-home.ts';
import { type Ends, readEnds, writeEnds } from './keep.ts';
import { LONGER_SECONDS } from './limits.ts';
import { pageOf, summaryOf } from './report.ts';
import { type Client, connect } from './side.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    examples: { type: 'boolean', default: false },
    only: { type: 'string' },
    limit: { type: 'string', default: '120' },
    'at-once': { type: 'string', default: '1' },
    files: { type: 'string', default: '' },
    keep: { type: 'string' },
    write: { type: 'string' },
  },
});
/** For Airflow's examples, some of which need plugins. */
const PLUGINS = join(import.meta.dirname, 'plugins');
const say = (text: string) => process.stderr.write(`${text}\n`);
const limitMs = (dagId: string) => Math.max(Number(values.limit), LONGER_SECONDS[dagId] ?? 0) * 1000;
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
  for (const file of values.files.split(','))
    if (file !== '') cpSync(file, join(folder, basename(file)), { recursive: true });
}

/** Files of a filled folder in which somebody makes a Dag, relative to it: all of them are read before the first run. */
function dagFiles(): string[] {
  using folder = tempHome();
  fill(folder.path);
  return readdirSync(folder.path, { recursive: true, encoding: 'utf8' }).filter(
    (file) =>
      file.endsWith('.py') &&
      /^\s*(?:with DAG\(|@dag\b|@asset\b|dag = DAG\()/m.test(readFileSync(join(folder.path, file), 'utf8')),
  );
}

type Started = { readonly client: Client; readonly stop: () => Promise<unknown> };

async function airlockSide(): Promise<Started> {
  // Not below /tmp: tasks of a sandbox that is shown something there could not write to it, and examples do.
  const home = tempHome('/var/tmp');
  fill(join(home.path, 'dags'));
  const airlock = await startStandalone({
    home: home.path,
    env: {
      AIRLOCK__PYTHON__INTERPRETER: venv,
      AIRLOCK__CORE__DAGS_ARE_PAUSED_AT_CREATION: 'true',
      AIRLOCK__PYTHON__POOL_SIZE: '2',
      AIRLOCK__CORE__PLUGINS_FOLDER: PLUGINS,
    },
  });
  const client = await connect({ url: airlock.url, user: 'admin', password: ADMIN_PASSWORD });
  const stop = async () => {
    await airlock.stop();
    home[Symbol.dispose]();
  };
  return { client, stop };
}

async function airflowSide(): Promise<Started> {
  const airflow = await startAirflow(fill, say, {
    AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION: 'True',
    AIRFLOW__CORE__PLUGINS_FOLDER: PLUGINS,
  });
  const client = await connect({ url: airflow.url, user: 'admin', password: AIRFLOW_PASSWORD });
  return { client, stop: async () => airflow[Symbol.asyncDispose]() };
}

/** Of the side that runs; a side lives in processes of its own, which nobody else ends. */
let stopRunning: (() => Promise<unknown>) | null = null;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => void (stopRunning?.() ?? Promise.resolve()).finally(() => process.exit(1)));

/** One side after the other: two at once would fight for the processors. */
async function runAll(name: string, start: () => Promise<Started>): Promise<Ends> {
  const file = values.keep === undefined ? null : join(values.keep, `${name.toLowerCase()}.json`);
  const kept = readEnds(file);
  const isOpen = (dagId: string) => !kept.ends.has(dagId);
  if (positionals.length > 0 && !positionals.some(isOpen)) return kept;
  if (values.only !== undefined && values.only !== name.toLowerCase()) return kept;
  const { client, stop } = await start();
  stopRunning = stop;
  try {
    const all = await client.dags(dagFiles());
    kept.errors.clear();
    for (const [path, text] of await client.importErrors()) kept.errors.set(path, text);
    const open = (positionals.length > 0 ? positionals : all).filter(isOpen);
    const runNext = async (): Promise<void> => {
      for (let dagId = open.shift(); dagId !== undefined; dagId = open.shift()) {
        const end = await client.run(dagId, limitMs(dagId));
        say(`${name}: ${dagId}: ${end.state}`);
        if (end.tasks.length > 0) kept.edges.set(dagId, await client.edges(dagId));
        kept.ends.set(dagId, end);
        writeEnds(file, kept);
      }
    };
    await Promise.all(Array.from({ length: Number(values['at-once']) }, runNext));
    return kept;
  } finally {
    stopRunning = null;
    await stop();
  }
}

const ours = await runAll('Airlock', airlockSide);
const theirs = await runAll('Airflow', airflowSide);
const summary = summaryOf(theirs, ours, positionals.length > 0 ? positionals : null);
console.log(summary.text);
if (values.write !== undefined) {
  const before = positionals.length > 0 ? readFileSync(values.write, 'utf8') : null;
  writeFileSync(values.write, pageOf(summary, before));
}
process.exitCode = summary.unexplained.length > 0 ? 1 : 0;
