/**
 * A report on four years of real weather: read, check, fan out by month, fan in, and write a table, a summary and a chart
 * into the folder of connection `weather_output`. Start it with: airlock dags trigger weather_report --wait
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connection, dag, variable } from '@airlock/sdk';
import csv from './data/seattle-weather.csv' with { type: 'text' };

const output = connection('weather_output');
const region = variable('weather_region');

/** Measures are whole tenths (of mm, of a degree, of m/s), so that sums are exact. */
type Day = { date: string; rain: number; warmest: number; coldest: number; wind: number; weather: string };
type Month = { month: string; days: Day[] };
type MonthFigures = {
  month: string;
  days: number;
  wetDays: number;
  rainTenths: number;
  warmestTenths: number;
  coldestTenths: number;
  /** Sums of the daily highs and lows; divided only when they are shown. */
  highsTenths: number;
  lowsTenths: number;
  windiest: string;
  weather: Record<string, number>;
};

const COLUMNS = 'date,precipitation,temp_max,temp_min,wind,weather';
const KINDS = ['drizzle', 'fog', 'rain', 'snow', 'sun'];

function parse(text: string): Day[] {
  const [head, ...lines] = text.trimEnd().split('\n');
  if (head !== COLUMNS) throw new Error(`The file begins with ${head}, not with ${COLUMNS}.`);
  return lines.map((line, i) => {
    const [date, rain, warmest, coldest, wind, weather] = line.split(',');
    const tenths = (field: string | undefined): number => {
      if (!/^-?\d+\.\d$/.test(field ?? '')) throw new Error(`Line ${i + 2} holds ${field}, which is no measure.`);
      return Number(field!.replace('.', ''));
    };
    return {
      date: date!,
      rain: tenths(rain),
      warmest: tenths(warmest),
      coldest: tenths(coldest),
      wind: tenths(wind),
      weather: weather!,
    };
  });
}

const nextDay = (date: string): string =>
  new Date(Date.parse(`${date}T00:00:00Z`) + 86_400_000).toISOString().slice(0, 10);

/** Everything that would make the figures wrong without making them look wrong. */
function check(days: Day[]): void {
  for (const [i, day] of days.entries()) {
    const before = days[i - 1];
    if (before && day.date !== nextDay(before.date))
      throw new Error(`${day.date} follows ${before.date}: a gap, or out of order.`);
    if (day.coldest > day.warmest) throw new Error(`${day.date}: the low is above the high.`);
    if (day.rain < 0 || day.wind < 0) throw new Error(`${day.date}: a negative amount.`);
    if (!KINDS.includes(day.weather)) throw new Error(`${day.date}: ${day.weather} is no known weather.`);
  }
}

function byMonth(days: Day[]): Month[] {
  const months = Map.groupBy(days, (day) => day.date.slice(0, 7));
  return [...months].map(([month, inside]) => ({ month, days: inside }));
}

function summarise({ month, days }: Month): MonthFigures {
  const sum = (of: (day: Day) => number) => days.reduce((total, day) => total + of(day), 0);
  const windiest = days.reduce((most, day) => (day.wind > most.wind ? day : most));
  return {
    month,
    days: days.length,
    wetDays: days.filter((day) => day.rain > 0).length,
    rainTenths: sum((day) => day.rain),
    warmestTenths: Math.max(...days.map((day) => day.warmest)),
    coldestTenths: Math.min(...days.map((day) => day.coldest)),
    highsTenths: sum((day) => day.warmest),
    lowsTenths: sum((day) => day.coldest),
    windiest: windiest.date,
    weather: Object.fromEntries(KINDS.map((kind) => [kind, days.filter((day) => day.weather === kind).length])),
  };
}

const fixed = (tenths: number): string => (tenths / 10).toFixed(1);
const mean = (tenths: number, days: number): string => (tenths / days / 10).toFixed(2);

function table(months: MonthFigures[]): string {
  const head = `month,days,wet_days,rain_mm,mean_high_c,mean_low_c,warmest_c,coldest_c,windiest_day,${KINDS.join(',')}`;
  const rows = months.map((m) =>
    [
      m.month,
      m.days,
      m.wetDays,
      fixed(m.rainTenths),
      mean(m.highsTenths, m.days),
      mean(m.lowsTenths, m.days),
      fixed(m.warmestTenths),
      fixed(m.coldestTenths),
      m.windiest,
      ...KINDS.map((kind) => m.weather[kind]),
    ].join(','),
  );
  return `${[head, ...rows].join('\n')}\n`;
}

/** Bars for the rain of each month, lines for the mean high and low. */
function chart(months: MonthFigures[], title: string): string {
  const [width, height, left, bottom] = [960, 320, 44, 28];
  const step = (width - left - 10) / months.length;
  const wettest = Math.max(...months.map((m) => m.rainTenths));
  const x = (i: number) => left + i * step;
  const barHeight = (m: MonthFigures) => (m.rainTenths / wettest) * (height - bottom - 40);
  const yOfDegrees = (degrees: number) => height - bottom - ((degrees + 5) / 40) * (height - bottom - 40);
  const line = (of: (m: MonthFigures) => number, colour: string) => {
    const points = months.map(
      (m, i) => `${(x(i) + step / 2).toFixed(1)},${yOfDegrees(of(m) / m.days / 10).toFixed(1)}`,
    );
    return `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${points.join(' ')}"/>`;
  };
  const bars = months.map(
    (m, i) =>
      `<rect x="${x(i).toFixed(1)}" y="${(height - bottom - barHeight(m)).toFixed(1)}" width="${(step - 2).toFixed(1)}" height="${barHeight(m).toFixed(1)}" fill="#9ecae1"><title>${m.month}: ${fixed(m.rainTenths)} mm</title></rect>`,
  );
  const years = months.flatMap((m, i) =>
    m.month.endsWith('-01')
      ? [`<text x="${x(i).toFixed(1)}" y="${height - 8}" font-size="12">${m.month.slice(0, 4)}</text>`]
      : [],
  );
  const escaped = title.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" role="img">`,
    `<title>${escaped}</title>`,
    `<text x="${left}" y="20" font-size="16">${escaped}</text>`,
    ...bars,
    line((m) => m.highsTenths, '#d62728'),
    line((m) => m.lowsTenths, '#1f77b4'),
    ...years,
    '</svg>',
  ].join('\n')}\n`;
}

export default dag(
  'weather_report',
  {
    schedule: null,
    startDate: '2026-01-01',
    paused: false,
    tags: ['example'],
    description: 'Four years of weather, month by month',
    defaults: { retries: 2, retryDelay: '1s..10s', timeout: '2m' },
  },
  (d) => {
    const load = d.task('load', { run: async () => parse(csv) });
    const validate = d.task('validate', {
      // A file that is wrong stays wrong: trying again would only hide it for longer.
      retries: 0,
      run: async ({ days }: { days: Day[] }, { log }) => {
        check(days);
        log.info('checked', { days: days.length, first: days[0]!.date, last: days.at(-1)!.date });
        return byMonth(days);
      },
    });
    const month = d.task('month', { pool: 'weather', run: async ({ month }: { month: Month }) => summarise(month) });
    const report = d.task('report', {
      needs: { output, region },
      run: async ({ months }: { months: MonthFigures[] }, { needs, log }) => {
        const sum = (of: (m: MonthFigures) => number) => months.reduce((total, m) => total + of(m), 0);
        const wettest = months.reduce((most, m) => (m.rainTenths > most.rainTenths ? m : most));
        const summary = {
          region: needs.region,
          first: months[0]!.month,
          last: months.at(-1)!.month,
          days: sum((m) => m.days),
          wet_days: sum((m) => m.wetDays),
          rain_mm: sum((m) => m.rainTenths) / 10,
          warmest_c: Math.max(...months.map((m) => m.warmestTenths)) / 10,
          coldest_c: Math.min(...months.map((m) => m.coldestTenths)) / 10,
          wettest_month: { month: wettest.month, rain_mm: wettest.rainTenths / 10 },
          weather: Object.fromEntries(KINDS.map((kind) => [kind, sum((m) => m.weather[kind]!)])),
        };
        const folder = needs.output.path;
        if (folder === undefined) throw new Error('Connection weather_output is not of type fs.');
        await writeFile(join(folder, 'weather_by_month.csv'), table(months));
        await writeFile(join(folder, 'weather_summary.json'), `${JSON.stringify(summary, null, 2)}\n`);
        await writeFile(
          join(folder, 'weather_chart.svg'),
          chart(months, `Weather of ${needs.region}, ${summary.first} to ${summary.last}`),
        );
        log.info('written', { folder });
        return summary;
      },
    });
    report({ months: month.map({ month: validate({ days: load() }) }) });
  },
);
