import { SANDBOX_TIERS } from '../sandbox-tiers.ts';
import { choice, int } from './options.ts';

export const SANDBOX_OPTIONS = {
  minimum_tier: choice(SANDBOX_TIERS, 'landlock', {
    readers: ['supervisor', 'standalone'],
    advice: 'Weakest isolation that a host may offer; a weaker one refuses to start. `none` switches the promise off.',
  }),
  memory_limit_mb: int(4096, {
    readers: ['supervisor'],
    unit: 'MB',
    min: 512,
    advice: 'Memory that one task or parse may hold.',
  }),
  max_processes: int(256, {
    readers: ['supervisor'],
    unit: 'count',
    min: 20,
    advice: 'Processes and threads that one task may have.',
  }),
  max_open_files: int(1024, {
    readers: ['supervisor'],
    unit: 'count',
    min: 64,
    advice: 'Files that one task may hold open.',
  }),
  max_file_mb: int(10_240, {
    readers: ['supervisor'],
    unit: 'MB',
    min: 1,
    advice: 'Largest file that a task may write.',
  }),
  uid_range_start: int(2_000_000, {
    readers: ['supervisor', 'standalone'],
    unit: 'user id',
    min: 1000,
    advice: 'First of the user ids that children get when started as root; nothing else may use them.',
  }),
  uid_range_size: int(4096, {
    readers: ['supervisor', 'standalone'],
    unit: 'count',
    min: 16,
    advice: 'How many of them.',
  }),
};
