import { existsSync } from 'node:fs';
import { SECTIONS } from '@airlock/contract/config/index';
import { HIDDEN, type ResolvedOption } from '@airlock/contract/config/resolve';
import { type LoadedConfig, loadConfig } from '@airlock/proc/config-load';
import { Command } from 'commander';
import type { Context } from '../context.ts';
import { CliError, EXIT_CODES } from '../exit-codes.ts';

/** A value as a person or a script reads it; a secret only when it was asked for by name. */
function shown(option: ResolvedOption, reveal: boolean): string {
  if (option.value === null) return '';
  if (option.row.sensitive && !reveal) return HIDDEN;
  return Array.isArray(option.value) ? option.value.join(', ') : String(option.value);
}

function describe(option: ResolvedOption): object {
  const value = option.row.sensitive && option.value !== null ? HIDDEN : option.value;
  return {
    section: option.section,
    key: option.key,
    value,
    source: option.source,
    unit: option.row.unit ?? null,
    allowed: option.row.allowed,
    sensitive: option.row.sensitive === true,
  };
}

function load(context: Context): LoadedConfig {
  return loadConfig({ ...context.env, AIRLOCK_HOME: context.home }, 'cli', 'unasked');
}

export function configCommand(context: Context): Command {
  const config = new Command('config').description('what is configured here, and where each value comes from');
  config
    .command('list')
    .description('every option: value and source')
    .option('--section <name>', 'only this section')
    .option('--changed', 'only what is not the default')
    .option('--json', 'as JSON')
    .action((options: { section?: string; changed?: boolean; json?: boolean }) => {
      if (options.section !== undefined && !Object.hasOwn(SECTIONS, options.section)) {
        throw new CliError(
          EXIT_CODES.notFound,
          `no section [${options.section}]; there are ${Object.keys(SECTIONS).join(', ')}`,
        );
      }
      const rows = load(context).options.filter(
        (option) =>
          (options.section ?? option.section) === option.section && (!options.changed || option.source !== 'default'),
      );
      if (options.json) return context.output.json(rows.map(describe));
      const { paint } = context.output;
      context.output.table(
        ['OPTION', 'VALUE', 'UNIT', 'FROM'],
        rows.map((option) => [
          `[${option.section}] ${option.key}`,
          shown(option, false),
          option.row.unit ?? '',
          option.source === 'default' ? paint('dim', 'default') : option.source,
        ]),
      );
      if (rows.length === 0) context.output.note('nothing differs from the defaults');
    });
  config
    .command('get <section> <key>')
    .description('one value, alone on its line')
    .option('--reveal', 'print it also when it is a secret')
    .option('--json', 'with its source, as JSON')
    .action((section: string, key: string, options: { reveal?: boolean; json?: boolean }) => {
      const option = load(context).options.find((each) => each.section === section && each.key === key);
      if (!option)
        throw new CliError(
          EXIT_CODES.notFound,
          `no option [${section}] ${key}`,
          'List them with: airlock config list.',
        );
      if (options.json) return context.output.json(describe(option));
      if (option.row.sensitive && !options.reveal)
        throw new CliError(EXIT_CODES.failed, `[${section}] ${key} is a secret`, 'Add --reveal to print it.');
      context.output.line(shown(option, true));
    });
  config
    .command('validate')
    .description('check file and environment; exit status 1 when something is wrong')
    .action(() => {
      const { options, warnings, file: path } = load(context);
      const changed = options.filter((option) => option.source !== 'default').length;
      for (const warning of warnings) context.output.note(`warning: ${warning}`);
      const file = existsSync(path) ? path : `${path} (does not exist)`;
      context.output.line(`the configuration is valid: ${options.length} options, ${changed} set, file ${file}`);
    });
  return config;
}
