import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { repositoryRoot, type Standalone, startStandalone } from '../kit/standalone.ts';
import { waitFor } from '../kit/wait.ts';

/**
 * The figures by other means than the Dag's: from the npm package's own file, with floating point and regular expressions
 * where the Dag counts whole tenths.
 */
function expectedFigures() {
  const file = join(
    realpathSync(join(repositoryRoot, 'examples/node_modules/vega-datasets')),
    'data/seattle-weather.csv',
  );
  const rows = [...readFileSync(file, 'utf8').matchAll(/^(\d{4}-\d\d)-\d\d,([^,]+),([^,]+),([^,]+),([^,]+),(\w+)$/gm)];
  const months = new Map<
    string,
    { days: number; wet: number; rain: number; highs: number; lows: number; weather: Map<string, number> }
  >();
  for (const [, month, rain, high, low, , weather] of rows) {
    const figures = months.get(month!) ?? { days: 0, wet: 0, rain: 0, highs: 0, lows: 0, weather: new Map() };
    months.set(month!, figures);
    figures.days++;
    if (rain !== '0.0') figures.wet++;
    figures.rain += Number.parseFloat(rain!);
    figures.highs += Number.parseFloat(high!);
    figures.lows += Number.parseFloat(low!);
    figures.weather.set(weather!, (figures.weather.get(weather!) ?? 0) + 1);
  }
  return { rows, months };
}
const near = (a: number, b: number, within: number, what: string) =>
  assert.ok(Math.abs(a - b) <= within, `${what}: ${a} is not ${b}`);

describe('the weather report, run for real', () => {
  let airlock: Standalone;
  before(async () => {
    airlock = await startStandalone({ env: { AIRLOCK__CORE__LOAD_EXAMPLES: 'true' } });
  });
  after(async () => {
    await airlock.stop();
  });
  const cli = (...args: string[]) =>
    spawnSync(process.execPath, [join(repositoryRoot, 'cli/bin/airlock'), ...args], {
      encoding: 'utf8',
      timeout: 120_000,
      env: { PATH: process.env.PATH ?? '', AIRLOCK_HOME: airlock.home },
    });

  test('the command line starts it, shows its tasks and ends with status 0', async () => {
    await waitFor('the Dag is known', () => airlock.api('GET', '/api/v2/dags/weather_report'));
    const result = cli('dags', 'trigger', 'weather_report', '--wait', '--timeout', '100', '--run-id', 'by_hand');
    assert.equal(result.status, 0, result.stdout + result.stderr);
    assert.match(result.stdout, /success {2}report/);
    assert.match(result.stdout, /^success in /m);
    assert.ok(!result.stdout.includes('\u001b'), 'colours only on a terminal');
  });

  test('its table holds the figures that a second reckoning of the original file gives', () => {
    const { rows, months } = expectedFigures();
    assert.equal(rows.length, 1461);
    const [head, ...lines] = readFileSync(join(airlock.home, 'output/weather_by_month.csv'), 'utf8')
      .trimEnd()
      .split('\n');
    const names = head!.split(',');
    assert.equal(lines.length, months.size);
    for (const line of lines) {
      const row = Object.fromEntries(line.split(',').map((field, i) => [names[i]!, field]));
      const want = months.get(row.month!)!;
      assert.deepEqual([Number(row.days), Number(row.wet_days)], [want.days, want.wet], row.month!);
      near(Number(row.rain_mm), want.rain, 1e-6, `${row.month} rain`);
      near(Number(row.mean_high_c), want.highs / want.days, 0.0051, `${row.month} mean high`);
      near(Number(row.mean_low_c), want.lows / want.days, 0.0051, `${row.month} mean low`);
      for (const [kind, days] of want.weather) assert.equal(Number(row[kind]), days, `${row.month} ${kind}`);
    }
  });

  test('its summary adds up, and is the result that the REST API gives', async () => {
    const { rows, months } = expectedFigures();
    const summary = JSON.parse(readFileSync(join(airlock.home, 'output/weather_summary.json'), 'utf8')) as Record<
      string,
      unknown
    >;
    assert.equal(summary.days, rows.length);
    assert.equal(
      summary.wet_days,
      [...months.values()].reduce((total, month) => total + month.wet, 0),
    );
    near(
      summary.rain_mm as number,
      [...months.values()].reduce((total, month) => total + month.rain, 0),
      1e-6,
      'rain',
    );
    assert.equal(summary.warmest_c, Math.max(...rows.map((row) => Number(row[3]))));
    assert.equal(summary.coldest_c, Math.min(...rows.map((row) => Number(row[4]))));
    const path =
      '/api/v2/dags/weather_report/dagRuns/by_hand/taskInstances/report/xcomEntries/return_value?deserialize=true';
    const { value } = await airlock.api<{ value: unknown }>('GET', path);
    assert.deepEqual(typeof value === 'string' ? JSON.parse(value) : value, summary);
  });

  test('its chart is an SVG with a bar for each month', () => {
    const svg = readFileSync(join(airlock.home, 'output/weather_chart.svg'), 'utf8');
    assert.match(svg, /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
    assert.equal(svg.match(/<rect /g)?.length, expectedFigures().months.size);
    assert.deepEqual(readdirSync(join(airlock.home, 'output')).sort(), [
      'weather_by_month.csv',
      'weather_chart.svg',
      'weather_summary.json',
    ]);
  });

  test('its states and logs come back over REST', async () => {
    const base = '/api/v2/dags/weather_report/dagRuns/by_hand/taskInstances';
    const { task_instances: tasks, total_entries: total } = await airlock.api<{
      task_instances: Array<{ task_id: string; state: string; pool: string }>;
      total_entries: number;
    }>('GET', `${base}?limit=100`);
    assert.equal(total, 3 + expectedFigures().months.size);
    assert.ok(tasks.every((task) => task.state === 'success'));
    assert.ok(tasks.filter((task) => task.task_id === 'month').every((task) => task.pool === 'weather'));
    const { content } = await airlock.api<{ content: Array<{ event: string }> }>(
      'GET',
      `${base}/validate/logs/1?full_content=true`,
    );
    assert.ok(
      content.some((line) => line.event === 'checked'),
      JSON.stringify(content),
    );
  });

  test('the other examples are there, paused', async () => {
    const { dags } = await airlock.api<{ dags: Array<{ dag_id: string; is_paused: boolean }> }>(
      'GET',
      '/api/v2/dags?limit=50',
    );
    const paused = dags.filter((dag) => dag.is_paused).map((dag) => dag.dag_id);
    assert.deepEqual(paused.sort(), ['nightly_cleanup', 'wait_for_file', 'word_lengths']);
  });
});
