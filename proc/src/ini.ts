/** Reading airlock.cfg: the INI form that Airflow uses. */

import type { IniFile } from '@airlock/contract/config/resolve';
import { AppError } from '@airlock/contract/errors';

export type ParsedIni = {
  readonly entries: IniFile;
  /** Number of the line on which an entry begins. */
  readonly line: (section: string, key: string) => number | undefined;
};

/**
 * `[section]`, `key = value` or `key: value`, comments from `#` or `;` at the start of a line, values over several lines by
 * indentation, `%%` for `%`. Names are lower-cased. Pure.
 * @throws CONFIG_INVALID with the line's number
 */
export function parseIni(text: string, fileName: string): ParsedIni {
  // Without a prototype: a section may have any name.
  const file: Record<string, Record<string, string>> = Object.create(null);
  const lines = new Map<string, number>();
  let section: Record<string, string> | null = null;
  let sectionName = '';
  let key: string | null = null;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const bare = line.trim();
    if (bare === '' || /^[#;]/.test(bare)) continue;
    if (/^\s/.test(line) && section && key !== null) {
      section[key] += `\n${bare}`;
      continue;
    }
    const header = /^\[([^\]]+)\]$/.exec(bare);
    if (header) {
      const name = header[1]!.trim().toLowerCase();
      file[name] ??= Object.create(null) as Record<string, string>;
      section = file[name];
      sectionName = name;
      key = null;
      continue;
    }
    const entry = /^([^=:]+?)\s*[=:]\s*(.*)$/.exec(bare);
    if (!entry || !section) {
      throw new AppError('CONFIG_INVALID', {
        public: `${fileName}, line ${index + 1}, is neither a [section] nor "key = value"${section ? '' : ' inside one'}.`,
        remedy: 'Correct that line.',
      });
    }
    key = entry[1]!.toLowerCase();
    section[key] = entry[2]!;
    lines.set(`${sectionName}.${key}`, index + 1);
  }
  for (const entries of Object.values(file)) {
    for (const [name, value] of Object.entries(entries)) entries[name] = value.replaceAll('%%', '%');
  }
  return { entries: file, line: (inSection, name) => lines.get(`${inSection}.${name}`) };
}
