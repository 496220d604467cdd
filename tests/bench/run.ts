/**
 * `npm run bench`: what Airlock costs and how fast it is, on this machine, now. `-- --airflow` runs the same Dags on Airflow
 * 3.3.2 in the same run, and in Python on Airlock, and adds ratios; `-- --python` measures those in Python alone; `-- --quick` repeats less; `-- --tokens` measures tokens alone, `-- --rest` lists, triggers and logs over REST alone, `-- --masking` masking alone, `-- --isolation` and `-- --heartbeats` these alone, `-- --scheduler [CASE …]` the scheduler alone. Loopback only. Compare figures of one run only.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { type Amount, type Figures, measureAirlock, measureHeartbeats, measurePython } from './airlock.ts';
import { isolationLine } from './isolation.ts';
import { schedulerLines } from './scheduler.ts';
import { tokenLines } from './tokens.ts';

const { values, positionals } = parseArgs({
  options: {
    airflow: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    tokens: { type: 'boolean', default: false },
    scheduler: { type: 'boolean', default: false },
    python: { type: 'boolean', default: false },
    rest: { type: 'boolean', default: false },
    masking: { type: 'boolean', default: false },
    isolation: { type: 'boolean', default: false },
    heartbeats: { type: 'boolean', default: false },
  },
  allowPositionals: true,
});
const amount: Amount = values.quick
  ? { one: 10, chain: 1, fan: 1, idleSeconds: 5, loadSeconds: 3 }
  : { one: 40, chain: 3, fan: 3, idleSeconds: 15, loadSeconds: 8 };
const say = (text: string) => console.error(`… ${text}`);

/** Goals of the design, and how a figure is shown. */
const ROWS: ReadonlyArray<{
  what: string;
  of: (figures: Figures) => number | null;
  unit: string;
  digits: number;
  goal: string;
  more?: boolean;
}> = [
  { what: 'first start to healthy', of: (f) => f.firstStartSeconds, unit: 's', digits: 2, goal: '<= 3' },
  { what: 'second start to healthy', of: (f) => f.secondStartSeconds, unit: 's', digits: 2, goal: '<= 1' },
  { what: 'memory, all processes, idle (PSS)', of: (f) => f.memory.megabytes, unit: 'MB', digits: 0, goal: '<= 250' },
  { what: 'processor, idle', of: (f) => f.idlePercent, unit: '% of a core', digits: 2, goal: '<= 0.5' },
  { what: 'one no-op task, p50', of: (f) => f.one.p50, unit: 's', digits: 3, goal: '<= 0.05' },
  { what: 'one no-op task, p95', of: (f) => f.one.p95, unit: 's', digits: 3, goal: '' },
  { what: 'chain of 40, median', of: (f) => f.chain40, unit: 's', digits: 2, goal: '<= 1' },
  { what: 'fan-out of 100, median', of: (f) => f.fan100, unit: 's', digits: 2, goal: '<= 2' },
  { what: 'Python: one no-op task, p50', of: (f) => f.python?.one ?? null, unit: 's', digits: 3, goal: '<= 0.3' },
  { what: 'Python: chain of 40, median', of: (f) => f.python?.chain40 ?? null, unit: 's', digits: 2, goal: '' },
  { what: 'Python: fan-out of 100, median', of: (f) => f.python?.fan100 ?? null, unit: 's', digits: 2, goal: '' },
  {
    what: 'heartbeats, one server process',
    of: (f) => f.heartbeatsPerSecond,
    unit: '/s',
    digits: 0,
    goal: '>= 5000',
    more: true,
  },
];

console.log(`${cpus().length} × ${cpus()[0]?.model.trim()}, Node ${process.version}`);
if (values.rest) {
  const { restLines } = await import('./rest.ts');
  for (const line of await restLines({ ...values, say })) console.log(line);
  process.exit();
}
if (values.masking) {
  const { maskingLines } = await import('./masking.ts');
  const { logRunLines } = await import('./masking-run.ts');
  for (const line of await maskingLines(values.quick)) console.log(line);
  for (const line of await logRunLines(values.quick)) console.log(line);
  process.exit();
}
if (values.scheduler) {
  for await (const line of schedulerLines(values.quick, positionals)) console.log(line);
  process.exit();
}
if (values.python) {
  const { installAirflow } = await import('../kit/airflow.ts');
  const { one, chain40, fan100 } = await measurePython(amount, installAirflow(say), say);
  console.log(
    `Python: one ${one.toFixed(3)} s, chain of 40 ${chain40.toFixed(2)} s, fan-out of 100 ${fan100.toFixed(2)} s`,
  );
  process.exit();
}
if (values.isolation || values.heartbeats) {
  if (values.isolation) console.log(await isolationLine(values.quick));
  if (values.heartbeats)
    console.log(`heartbeats, one server process: ${(await measureHeartbeats(amount)).toFixed(0)}/s`);
  process.exit();
}
say('tokens');
for (const line of await tokenLines(values.quick)) console.log(line);
if (values.tokens) process.exit();
const airlock = await measureAirlock(amount, say);
say('heartbeats');
airlock.heartbeatsPerSecond = await measureHeartbeats(amount);
let airflow: Figures | null = null;
if (values.airflow) {
  const { measureAirflow } = await import('./airflow.ts');
  const { installAirflow } = await import('../kit/airflow.ts');
  airlock.python = await measurePython(amount, installAirflow(say), say);
  airflow = await measureAirflow(amount, say).catch((error: unknown) => {
    // What was measured of Airlock is worth showing all the same.
    console.error(`Airflow could not be measured: ${(error as Error).message}`);
    process.exitCode = 1;
    return null;
  });
}
say('isolation');
const isolation = await isolationLine(values.quick);
const cell = (value: number | null, digits: number) => (value === null ? '-' : value.toFixed(digits));
console.log(
  `\n${'figure'.padEnd(36)}${'Airlock'.padStart(10)}${'goal'.padStart(10)}${airflow ? `${'Airflow'.padStart(10)}${'ratio'.padStart(9)}` : ''}  unit`,
);
for (const { what, of, unit, digits, goal, more } of ROWS) {
  const ours = of(airlock);
  const theirs = airflow ? of(airflow) : null;
  const ratio = ours === null || theirs === null ? '-' : `${(more ? ours / theirs : theirs / ours).toFixed(1)} ×`;
  console.log(
    `${what.padEnd(36)}${cell(ours, digits).padStart(10)}${goal.padStart(10)}${airflow ? cell(theirs, digits).padStart(10) + ratio.padStart(9) : ''}  ${unit}`,
  );
}
console.log(
  `\nmemory by process, MB: ${[...airlock.memory.byName].map(([name, megabytes]) => `${name} ${megabytes.toFixed(0)}`).join(', ')}`,
);
const timeLine = (seconds: ReadonlyMap<string, number>) =>
  [...seconds]
    .sort(([, a], [, b]) => b - a)
    .map(([name, time]) => `${name} ${time.toFixed(2)}`)
    .join(', ');
console.log(`processor time of one chain of 40, s: ${timeLine(airlock.chainSeconds)}`);
console.log(`processor time of one fan-out of 100, s: ${timeLine(airlock.fanSeconds)}`);
if (airlock.memory.unreadable > 0)
  console.log(
    `${airlock.memory.unreadable} of ${airlock.memory.processes} processes could not be read: run as root for the whole sum`,
  );

console.log(`\n${isolation}`);
if (airflow)
  console.log(
    'Airflow ran on a PostgreSQL without fsync, which is in its favour; ratios above 1 mean that Airlock needs less or does more.',
  );
// The kits of tests have registered themselves with the test runner, which would add a report of its own.
process.exit();
