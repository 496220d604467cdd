/** Commands about the tokens of tries. */
import { TOKEN_ALARM_EVENTS, TOKEN_ALARMS, type TokenAlarm } from '@airlock/contract/token-alarms';
import { Command } from 'commander';
import type { Context } from '../context.ts';
import { parseCount } from './options.ts';

type Event = {
  readonly when: string;
  readonly event: TokenAlarm;
  readonly dag_id: string | null;
  readonly run_id: string | null;
  readonly task_id: string | null;
  readonly map_index: number | null;
  readonly try_number: number | null;
};

export function tokensCommand(context: Context): Command {
  const tokens = new Command('tokens').description('the tokens of running tasks');
  tokens
    .command('alarms')
    .description('tokens that were used where they must not be, newest first: somebody else may have had them')
    .option('--limit <n>', 'most rows shown', parseCount, 50)
    .option('--json', 'as JSON')
    .action(async (options: { limit: number; json?: boolean }) => {
      const query = new URLSearchParams({ order_by: '-id', limit: String(options.limit) });
      for (const event of TOKEN_ALARM_EVENTS) query.append('included_events', event);
      const { event_logs: rows } = await context
        .client()
        .json<{ event_logs: readonly Event[] }>('GET', `/api/v2/eventLogs?${query}`);
      if (options.json) return context.output.json(rows);
      context.output.table(
        ['WHEN', 'DAG', 'RUN', 'TASK', 'TRY', 'WHAT'],
        rows.map((row) => [
          row.when,
          row.dag_id ?? '',
          row.run_id ?? '',
          row.map_index === null || row.map_index < 0 ? (row.task_id ?? '') : `${row.task_id}[${row.map_index}]`,
          String(row.try_number ?? ''),
          TOKEN_ALARMS[row.event],
        ]),
      );
    });
  return tokens;
}
