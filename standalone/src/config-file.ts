/** The airlock.cfg that the first start writes: every option explained, none set, so that a later release's defaults apply. */
import { existsSync, writeFileSync } from 'node:fs';
import { SECTIONS } from '@airlock/contract/config/index';
import type { OptionRow } from '@airlock/contract/config/options';

function valueText(row: OptionRow<unknown>): string {
  if (row.default === null) return '';
  return Array.isArray(row.default) ? row.default.join(', ') : String(row.default).replaceAll('%', '%%');
}

function wrap(text: string): string {
  const lines: string[] = [];
  let line = '#';
  for (const word of text.split(' ')) {
    if (line.length + word.length + 1 > 110) {
      lines.push(line);
      line = '#';
    }
    line += ` ${word}`;
  }
  return [...lines, line].join('\n');
}

/** The whole text. Pure. */
export function configFileText(): string {
  const parts = [
    wrap(
      'Configuration of Airlock. Take the # away before an option to set it; what stays commented follows the defaults. ' +
        'Environment variables AIRLOCK__SECTION__KEY, then AIRFLOW__SECTION__KEY, come before this file. ' +
        'Sensitive options may also be given as key_cmd, a command whose output is the value.',
    ),
  ];
  for (const [section, table] of Object.entries(SECTIONS)) {
    parts.push(`\n[${section}]`);
    for (const [key, row] of Object.entries(table) as Array<[string, OptionRow<unknown>]>) {
      const notes = [row.unit && `Unit: ${row.unit}.`, `Allowed: ${row.allowed}.`, row.sensitive && 'Sensitive.'];
      parts.push(wrap([row.advice, ...notes.filter(Boolean)].join(' ')));
      parts.push(`# ${key} = ${valueText(row)}`.trimEnd());
    }
  }
  return `${parts.join('\n')}\n`;
}

/** Writes the file, readable by its owner only, unless there is one. */
export function writeConfigFile(path: string): void {
  if (existsSync(path)) return;
  writeFileSync(path, configFileText(), { mode: 0o600, flag: 'wx' });
}
