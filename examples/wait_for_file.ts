/** A sensor: looks for a file each few seconds and gives its slot up in between, so that a thousand of them cost no worker. */
import { access, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { connection, dag } from '@airlock/sdk';

const inbox = connection('weather_output');

export default dag(
  'wait_for_file',
  {
    schedule: null,
    startDate: '2026-01-01',
    paused: true,
    tags: ['example'],
    description: 'Waits for a file in the folder of connection weather_output, then counts its lines',
    params: { name: 'weather_by_month.csv' },
  },
  (d) => {
    const arrived = d.sensor('arrived', {
      needs: { inbox },
      every: '2s',
      timeout: '10m',
      check: ({ needs, params }) =>
        access(join(needs.inbox.path ?? '/', params.name)).then(
          () => true,
          () => false,
        ),
    });
    const count = d.task('count_lines', {
      needs: { inbox },
      run: async (_: Record<never, never>, { needs, params }) =>
        (await readFile(join(needs.inbox.path ?? '/', params.name), 'utf8')).trimEnd().split('\n').length,
    });
    count().after(arrived());
  },
);
