import { bool, choice, int, PROCESS_KINDS, text } from './options.ts';
import { PATH } from './rules.ts';

export const LOGGING_OPTIONS = {
  base_log_folder: text('$AIRLOCK_HOME/logs', {
    readers: ['standalone', 'control'],
    unit: 'path',
    rule: PATH,
    advice: 'Root of the logs of tasks. Only the API server writes there; tasks and workers never touch it.',
  }),
  logging_level: choice(['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'], 'INFO', {
    readers: PROCESS_KINDS,
    advice: 'Level of the logs of our own processes.',
  }),
  json_logs: bool(false, {
    readers: ['standalone', 'control', 'supervisor', 'token-service'],
    advice: 'One JSON object per line on standard output, also on a terminal.',
  }),
  min_length_masked_secret: int(5, {
    readers: ['control', 'supervisor'],
    unit: 'characters',
    min: 1,
    advice: 'Shorter secrets are not masked in texts.',
  }),
  max_log_bytes: int(64 * 1024 * 1024, {
    readers: ['control', 'supervisor'],
    unit: 'bytes',
    min: 4096,
    advice: 'Largest log of one try; what comes after is dropped, and the log says so.',
  }),
};
