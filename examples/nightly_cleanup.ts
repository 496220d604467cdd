/** A schedule with a time zone, and a step that fails now and then: the try that failed leaves its log, the next one goes on. */
import { dag } from '@airlock/sdk';

export default dag(
  'nightly_cleanup',
  {
    schedule: '30 2 * * *',
    timezone: 'Europe/Stockholm',
    startDate: '2026-01-01',
    catchup: false,
    paused: true,
    tags: ['example'],
    description: 'Runs each night; its flaky step is tried again with growing waits',
    params: { failures: 1 },
    defaults: { retries: 3, retryDelay: '1s..30s' },
  },
  (d) => {
    const find = d.task('find_old', { run: async () => ['a.tmp', 'b.tmp', 'c.tmp'] });
    const remove = d.task('remove', {
      run: async ({ files }: { files: string[] }, { params, tryNumber, log }) => {
        if (tryNumber <= Number(params.failures)) throw new Error(`The disk was busy on try ${tryNumber}.`);
        log.info('removed', { files });
        return files.length;
      },
    });
    remove({ files: find() });
  },
);
