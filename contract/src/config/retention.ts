import { int } from './options.ts';

export const RETENTION_OPTIONS = {
  dag_run_days: int(365, {
    readers: ['control'],
    unit: 'days',
    min: 0,
    advice:
      'Finished runs older than this go, with their task instances, tries, XComs and logs; the newest of each Dag stays. 0 = keep all.',
  }),
  event_log_days: int(365, {
    readers: ['control'],
    unit: 'days',
    min: 0,
    advice: 'Age at which audit entries go. 0 = keep all.',
  }),
  dag_versions: int(50, {
    readers: ['control'],
    unit: 'count',
    min: 1,
    advice: 'Newest versions of each Dag that are kept even when no run uses them.',
  }),
  job_days: int(7, {
    readers: ['control'],
    unit: 'days',
    min: 1,
    advice: 'Age at which ended schedulers, dag-processors and supervisors are forgotten.',
  }),
  sweep_interval: int(300, {
    readers: ['control'],
    unit: 's',
    min: 1,
    advice: 'How often old rows are looked for.',
  }),
  batch_rows: int(1000, {
    readers: ['control'],
    unit: 'rows',
    min: 1,
    max: 100_000,
    advice: 'Rows removed in one transaction, so that a sweep never holds up work.',
  }),
};
