import { dag } from '@airlock/sdk';

const ten = (name: string) =>
  dag(name, { schedule: null, startDate: '2024-01-01' }, (d) => {
    for (let i = 0; i < 10; i++)
      d.task(`t${i}`, {
        run: async (_: Record<string, never>, { log }) => {
          log.info('a line of its log');
        },
      })();
  });

export const listed = ten('ten');
export const more = ten('ten_more');
