import { dag } from '@airlock/sdk';

export const one = dag('one', { schedule: null, startDate: '2024-01-01' }, (d) => {
  d.task('t', { run: async () => 1 })();
});

export const chain40 = dag('chain40', { schedule: null, startDate: '2024-01-01', maxActiveTasks: 64 }, (d) => {
  let previous = d.task('t0', { run: async () => 1 })();
  for (let i = 1; i < 40; i++)
    previous = d
      .task(`t${i}`, { run: async () => 1 })()
      .after(previous);
});

export const fan100 = dag('fan100', { schedule: null, startDate: '2024-01-01', maxActiveTasks: 256 }, (d) => {
  const seed = d.task('seed', { run: async () => 1 })();
  const all = Array.from({ length: 100 }, (_, i) =>
    d
      .task(`f${i}`, { run: async () => i })()
      .after(seed),
  );
  d.task('end', { run: async () => 1 })().after(...all);
});
